use super::{
    make::{self, Members},
    *,
};

const TYPES: (&str, &[u8]) = ("[Content_Types].xml", b"<Types/>");

fn module(source: &str) -> Vec<u8> {
    let source = format!("Attribute VB_Name = \"ThisDocument\"\r\n{source}\r\n");
    [&b"p-code, of any length"[..], &make::vba(&source)].concat()
}

fn project(source: &str) -> Vec<u8> {
    make::ole(&[("/VBA/_VBA_PROJECT", b"\xcc\x61"), ("/VBA/dir", b"x"), ("/VBA/ThisDocument", &module(source))])
}

#[test]
fn macros_are_found_read_and_told_of_the_document() {
    let project = project("Sub AutoOpen()\r\n  Shell \"calc\"\r\nEnd Sub");
    let unpacked = look("a.docm", make::zip(&[TYPES, ("word/document.xml", b"<w/>"), ("word/vbaProject.bin", &project)]));
    assert_eq!(tree(&unpacked)[0], "a.docm docx macro,auto-exec");
    let module = unpacked.all().iter().find(|file| file.kind == Kind::Vba).unwrap();
    assert!(String::from_utf8_lossy(&module.octets).contains("Shell \"calc\""));
    let plain = make::ole(&[("/WordDocument", &[0; 64]), ("/Macros/VBA/_VBA_PROJECT", b"x"), ("/Macros/VBA/Module1", &module_only())]);
    assert_eq!(tree(&look("a.doc", plain))[0], "a.doc doc macro");
    // Its source taken out: what is compiled runs all the same.
    let stomped = make::ole(&[("/WordDocument", &[0; 64]), ("/Macros/VBA/_VBA_PROJECT", b"x")]);
    assert_eq!(tree(&look("a.doc", stomped))[0], "a.doc doc macro");
}

fn module_only() -> Vec<u8> {
    module("Sub Nothing()\r\nEnd Sub")
}

#[test]
fn an_archive_of_documents_has_no_macros_itself() {
    let document = make::zip(&[TYPES, ("xl/vbaProject.bin", &project("Sub Workbook_Open()\r\nEnd Sub"))]);
    let unpacked = look("a.zip", make::zip(&[("b.xlsm", &document)]));
    assert_eq!(tree(&unpacked)[..2], ["a.zip zip", "a.zip > b.xlsm xlsx macro,auto-exec"]);
}

#[test]
fn sheets_of_old_macros_are_macros() {
    let record = |id: u16, data: &[u8]| [&id.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), data].concat();
    let workbook = |sheet: u8| [record(0x809, &[0; 16]), record(0x85, &[0, 0, 0, 0, 2, sheet, 1, 0, b'a']), record(0x0a, &[])].concat();
    assert_eq!(tree(&look("a", make::ole(&[("/Workbook", &workbook(1))])))[0], "a xls macro");
    assert_eq!(tree(&look("a", make::ole(&[("/Workbook", &workbook(0))])))[0], "a xls");
    let locked = [record(0x809, &[0; 16]), record(0x2f, &[0; 6])].concat();
    assert_eq!(tree(&look("a", make::ole(&[("/Workbook", &locked)])))[0], "a xls encrypted");
    let sheets = make::zip(&[TYPES, ("xl/macrosheets/sheet1.xml", b"<x/>")]);
    assert_eq!(tree(&look("a", sheets))[0], "a xlsx macro");
}

#[test]
fn files_dropped_into_documents_are_found() {
    let object = make::ole(&[("/\u{1}Ole10Native", &make::native("run.exe", &make::program()))]);
    let unpacked = look("a.docx", make::zip(&[TYPES, ("word/embeddings/oleObject1.bin", &object)]));
    let lines = tree(&unpacked);
    assert_eq!(lines[0], "a.docx docx embedded-object");
    assert!(lines.iter().any(|line| line.ends_with("> run.exe pe")), "{lines:?}");
}

#[test]
fn encrypted_documents_are_told() {
    let document = make::ole(&[("/EncryptionInfo", b"x"), ("/EncryptedPackage", b"y")]);
    assert_eq!(tree(&look("a.docx", document))[0], "a.docx ole encrypted");
    let mut word = vec![0; 64];
    word[11] = 1;
    assert_eq!(tree(&look("a.doc", make::ole(&[("/WordDocument", &word)])))[0], "a.doc doc encrypted");
}

#[test]
fn templates_from_elsewhere_are_told_and_links_are_not() {
    const KIND: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let relation = |kind: &str, target: &str| {
        format!(
            "<Relationships><Relationship Id=\"1\" Type=\"{KIND}/{kind}\" Target=\"{target}\" TargetMode=\"External\"/></Relationships>"
        )
    };
    let document = |relation: &str| {
        let utf16: Vec<u8> = relation.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [relation.as_bytes().to_vec(), utf16].map(|octets| look("a", make::zip(&[TYPES, ("word/_rels/settings.xml.rels", &octets)])))
    };
    for unpacked in document(&relation("attachedTemplate", "https://evil.example/a.dotm")) {
        assert_eq!(tree(&unpacked)[0], "a docx external-template");
    }
    for target in ["\\\\evil.example\\a.dotm", "file:////evil.example/a.dotm", "mhtml:http://evil.example/", "&#104;ttp://evil.example/"] {
        for unpacked in document(&relation("oleObject", target)) {
            assert_eq!(tree(&unpacked)[0], "a docx external-template", "{target}");
        }
    }
    for target in ["file:///C:\\Users\\me\\Templates\\Normal.dotm", "C:\\a.dotm", "Normal.dotm"] {
        for unpacked in document(&relation("attachedTemplate", target)) {
            assert_eq!(tree(&unpacked)[0], "a docx", "{target}");
        }
    }
    for kind in ["hyperlink", "image"] {
        for unpacked in document(&relation(kind, "https://example.org/")) {
            assert_eq!(tree(&unpacked)[0], "a docx");
        }
    }
}

#[test]
fn zips_are_told_by_what_is_in_them() {
    let cases: &[(Members<'_>, &str)] = &[
        (&[("META-INF/MANIFEST.MF", b"x"), ("A.class", b"y")], "jar"),
        (&[("AndroidManifest.xml", b"x"), ("META-INF/MANIFEST.MF", b"y")], "apk"),
        (&[TYPES, ("xl/workbook.xml", b"x")], "xlsx"),
        (&[TYPES, ("ppt/presentation.xml", b"x")], "pptx"),
        (&[TYPES, ("AppxManifest.xml", b"x")], "appx"),
        (&[("mimetype", b"application/vnd.oasis.opendocument.text"), ("META-INF/manifest.xml", b"x")], "odf"),
        (&[("readme.txt", b"x")], "zip"),
    ];
    for (members, kind) in cases {
        assert_eq!(look("a", make::zip(members)).all()[0].kind.name(), *kind);
    }
}

#[test]
fn objects_of_rtf_are_opened() {
    let hex: String = make::ole(&[("/WordDocument", &[0; 64])]).iter().map(|octet| format!("{octet:02x}")).collect();
    let (first, second) = hex.split_at(100);
    let rtf = format!("{{\\rtf1{{\\object\\objemb\\objupdate{{\\*\\objdata {first}{{\\x}}\r\n{second}}}}}}}");
    let unpacked = look("a.doc", rtf);
    assert_eq!(tree(&unpacked)[0], "a.doc rtf embedded-object,object-update");
    assert_eq!(unpacked.all()[1].kind.name(), "doc");
    let text = |text: &str| [&(text.len() as u32 + 1).to_le_bytes()[..], text.as_bytes(), &[0]].concat();
    let package = make::packaged("run.exe", &make::program());
    let object = [&[1, 5, 0, 0, 2, 0, 0, 0][..], &text("Package"), &[0; 8], &(package.len() as u32).to_le_bytes(), &package].concat();
    let hex: String = object.iter().map(|octet| format!("{octet:02X}")).collect();
    let unpacked = look("a.rtf", format!("{{\\rtf1{{\\object{{\\*\\objdata {hex}}}}}}}"));
    assert_eq!(tree(&unpacked), ["a.rtf rtf embedded-object", "a.rtf > run.exe pe"]);
}

#[test]
fn pdf_tells_what_it_would_do() {
    let cases = [
        ("<</OpenAction<</S/JavaScript/JS(app.alert)>>>>", &["pdf-javascript"][..]),
        ("<</S/J#61vaScript>>", &["pdf-javascript"]),
        ("<</S/Launch/F(cmd.exe)>>", &["pdf-launch"]),
        ("trailer <</Encrypt 5 0 R>>", &["encrypted"]),
        ("<</JavaScripts 1/Launched 2>>", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(flags(&look("a.pdf", format!("%PDF-1.4\n1 0 obj {text} endobj"))), expected, "{text}");
    }
    let packed = make::zlib(b"5 0 <</S/Launch>>");
    let objects = [b"%PDF-1.5\n1 0 obj<</Type/ObjStm/Filter/FlateDecode>>stream\r\n", &packed[..], b"\nendstream endobj"].concat();
    assert_eq!(flags(&look("a.pdf", objects)), ["pdf-launch"]);
    let packed = make::zlib(&make::program());
    let file = [b"%PDF-1.5\n1 0 obj<</Type/EmbeddedFile/Filter[/FlateDecode]>>stream\n", &packed[..], b"\nendstream endobj"].concat();
    assert_eq!(tree(&look("a.pdf", file)), ["a.pdf pdf pdf-embedded-file", "a.pdf > embedded pe"]);
}

#[test]
fn smaller_containers_are_opened() {
    let program = make::program();
    let one = b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3 some pages ";
    let object = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";
    let note = [&one[..], object, &(program.len() as u64).to_le_bytes(), &[0; 12], &program, b"more pages"].concat();
    assert_eq!(tree(&look("a.one", note)), ["a.one one embedded-object", "a.one > pe pe"]);
    let attribute =
        |level: u8, id: u32, data: &[u8]| [&[level][..], &id.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data, &[0, 0]].concat();
    let tnef = [
        &b"\x78\x9f\x3e\x22\x01\x00"[..],
        &attribute(2, 0x0006_9002, &[0; 14]),
        &attribute(2, 0x0001_8010, b"a.exe\0"),
        &attribute(2, 0x0006_800f, &program),
        &attribute(2, 0x0006_9002, &[0; 14]),
        &attribute(2, 0x0001_8010, b"b.txt\0"),
        &attribute(2, 0x0006_800f, b"hello"),
    ]
    .concat();
    assert_eq!(tree(&look("winmail.dat", tnef)), ["winmail.dat tnef", "winmail.dat > a.exe pe", "winmail.dat > b.txt plain"]);
    let mut active = b"ActiveMime".to_vec();
    active.resize(0x32, 0);
    active.extend_from_slice(&make::zlib(&project("Sub AutoOpen()\r\nEnd Sub")));
    assert_eq!(tree(&look("editdata.mso", active))[0], "editdata.mso activemime macro,auto-exec");
}

#[test]
fn installers_are_programs() {
    let mut octets = make::ole(&[("/Columns", b"x")]);
    // The class of the root entry ([MS-CFB] §2.6.1), which is the first of the directory.
    let name: Vec<u8> = "Root Entry".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let root = memchr::memmem::find(&octets, &name).unwrap();
    octets[root + 80..root + 96].copy_from_slice(b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F");
    assert_eq!(tree(&look("a.msi", octets)), ["a.msi msi unreadable"]);
}
