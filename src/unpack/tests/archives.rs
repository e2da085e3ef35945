use super::{
    make::{self, Members},
    *,
};
use zip::{AesMode, CompressionMethod, unstable::write::FileOptionsExt, write::SimpleFileOptions};

const TWO: Members<'static> = &[("a.txt", b"hello"), ("dir/b.txt", b"there")];

#[test]
fn every_format_is_opened() {
    let inside = |archive: &str, kind: &str| {
        vec![format!("{archive} {kind}"), format!("{archive} > a.txt plain"), format!("{archive} > dir/b.txt plain")]
    };
    assert_eq!(tree(&look("x", make::zip(TWO))), inside("x", "zip"));
    assert_eq!(tree(&look("x", make::tar(TWO))), inside("x", "tar"));
    assert_eq!(tree(&look("x", make::seven_z(TWO, None))), inside("x", "7z"));
    let one = b"one file";
    let streams = [("gzip", make::gzip(one)), ("bzip2", make::bzip2(one)), ("xz", make::xz(one)), ("zstd", make::zstd(one))];
    for (kind, octets) in streams {
        let unpacked = look("a.txt.gz", octets);
        assert_eq!(tree(&unpacked), [format!("a.txt.gz {kind}"), "a.txt.gz > a.txt plain".to_owned()]);
        assert_eq!(unpacked.all()[1].octets, one[..]);
    }
}

#[test]
fn every_method_of_zip_is_undone() {
    use CompressionMethod as Method;
    let text = b"the same again and again, ".repeat(1_000);
    for method in [Method::Stored, Method::Deflated, Method::Bzip2, Method::Zstd, Method::Xz] {
        let options = SimpleFileOptions::default().compression_method(method);
        for options in [options, options.large_file(true)] {
            let unpacked = look("x", make::zip_with(&[("a", &text), ("b", &text)], options));
            assert_eq!(tree(&unpacked), ["x zip", "x > a plain", "x > b plain"], "{method:?}");
            assert_eq!(unpacked.all()[2].octets, text);
        }
    }
}

#[test]
fn lzma_in_zip_is_undone() {
    let text = b"the same again and again, ".repeat(1_000);
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let mut writer = lzma_rust2::LzmaWriter::new_no_header(Vec::new(), &options, true).unwrap();
    std::io::Write::write_all(&mut writer, &text).unwrap();
    let properties = writer.props();
    let packed = writer.finish().unwrap();
    let mut data = vec![9, 20, 5, 0, properties];
    data.extend_from_slice(&options.dict_size.to_le_bytes());
    data.extend_from_slice(&packed);
    // A stored file whose method is then said to be 14.
    let mut archive = make::stored(&[("a", &data)]);
    for (signature, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let header = memchr::memmem::find(&archive, signature).unwrap();
        archive[header + at] = 14;
    }
    let unpacked = look("x", archive);
    assert_eq!(tree(&unpacked), ["x zip", "x > a plain"]);
    assert_eq!(unpacked.all()[1].octets, text);
}

#[test]
fn archives_in_archives_are_opened_and_programs_found() {
    let program = make::program();
    let inner = make::gzip(&make::tar(&[("run.exe", &program)]));
    let middle = make::seven_z(&[("inner.tgz", &inner)], None);
    let outer = make::zip(&[("middle.7z", &middle)]);
    let expected = [
        "a.zip zip",
        "a.zip > middle.7z 7z",
        "a.zip > middle.7z > inner.tgz gzip",
        "a.zip > middle.7z > inner.tgz > inner.tar tar",
        "a.zip > middle.7z > inner.tgz > inner.tar > run.exe pe",
    ];
    assert_eq!(tree(&look("a.zip", outer)), expected);
}

#[test]
fn what_is_encrypted_is_told_with_its_name() {
    let secret: Members<'_> = &[("secret.txt", b"hello")];
    let options = SimpleFileOptions::default();
    for options in [options.with_aes_encryption(AesMode::Aes256, "infected"), options.with_deprecated_encryption(b"infected").unwrap()] {
        assert_eq!(tree(&look("x", make::zip_with(secret, options))), ["x zip", "x > secret.txt unknown encrypted"]);
    }
    let contents = make::seven_z(secret, Some(("infected", false)));
    assert_eq!(tree(&look("x", contents)), ["x 7z", "x > secret.txt unknown encrypted"]);
    let header = make::seven_z(secret, Some(("infected", true)));
    assert_eq!(tree(&look("x", header)), ["x 7z encrypted"]);
    assert_eq!(tree(&look("x", &b"Rar!\x1a\x07\x01\0\x33\x92\xb5\xe5\x0a\x04\x05\0"[..])), ["x rar encrypted,unreadable"]);
}

#[test]
fn readers_that_disagree_about_a_zip_are_all_believed() {
    let (first, second) = (make::zip(&[("a.txt", b"first")]), make::zip(&[("b.txt", b"second")]));
    // Two archives one after the other: the first directory, or the last.
    let both = [&first[..], &second].concat();
    assert_eq!(tree(&look("x", both)), ["x zip", "x > b.txt plain", "x > a.txt plain"]);
    // A file that the directory does not name.
    let hidden = [&make::without_directory(first.clone())[..], &second].concat();
    assert_eq!(tree(&look("x", hidden)), ["x zip", "x > b.txt plain", "x > a.txt plain hidden"]);
    // No directory at all.
    assert_eq!(tree(&look("x", make::without_directory(first.clone()))), ["x zip", "x > a.txt plain"]);
    // Something before the archive.
    let prefixed = [b"\x89PNG\r\n\x1a\n and more", &first[..]].concat();
    assert_eq!(tree(&look("x", prefixed)), ["x png polyglot", "x > a.txt plain"]);
    // Another name in the local header.
    let mut renamed = first.clone();
    renamed[30..35].copy_from_slice(b"z.exe");
    assert_eq!(look("x", renamed).all()[1].names, ["a.txt".into(), "z.exe".into()]);
    // A directory entry without a file.
    let mut lost = first;
    lost[2] = b'X';
    assert_eq!(tree(&look("x", lost)).last().unwrap(), "x > a.txt unknown unreadable");
}

#[test]
fn what_is_stored_in_a_stored_file_is_found_once() {
    let inner = make::stored(&[("a.txt", b"hello")]);
    let outer = make::stored(&[("inner.zip", &inner)]);
    assert_eq!(tree(&look("x", outer)), ["x zip", "x > inner.zip zip", "x > inner.zip > a.txt plain"]);
}

#[test]
fn one_header_of_two_that_says_encrypted_is_not_believed() {
    let mut archive = make::zip(&[("a.txt", b"hello")]);
    let central = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
    archive[central + 8] |= 1;
    assert_eq!(tree(&look("x", archive)), ["x zip", "x > a.txt plain"]);
}

#[test]
fn damaged_archives_give_what_they_have_and_say_so() {
    let noise = make::noise(100_000);
    let members: Members<'_> = &[("a", &noise[..]), ("b", b"hello")];
    for (whole, kind) in
        [(make::tar(members), "tar"), (make::gzip(&noise), "gzip"), (make::bzip2(&noise), "bzip2"), (make::xz(&noise), "xz")]
    {
        let cut = whole[..50_000].to_vec();
        let unpacked = look("x", cut);
        assert!(unpacked.all().iter().any(|file| file.flags.has(Flag::Unreadable)), "{kind}: {:?}", tree(&unpacked));
        assert_eq!(unpacked.all()[0].kind.name(), kind);
    }
    let cut = make::seven_z(members, None)[..50_000].to_vec();
    assert_eq!(tree(&look("x", cut)), ["x 7z unreadable"]);
    let cut = make::zip(members)[..50_000].to_vec();
    assert_eq!(tree(&look("x", cut)), ["x zip", "x > a unknown unreadable"]);
}

#[test]
fn files_that_cannot_be_had_are_named_all_the_same() {
    let mut archive = make::seven_z(&[("a.txt", &make::noise(1_000)), ("b.js", b"hello")], None);
    // The control octet of the first chunk of LZMA2, which none has.
    archive[32] = 0x7f;
    assert_eq!(tree(&look("x", archive)), ["x 7z unreadable", "x > a.txt unknown unreadable", "x > b.js plain"]);
    let mut archive = make::zip(&[("a.exe", b"hello")]);
    // Shrunk, which nothing has written since 1989.
    for (signature, at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let header = memchr::memmem::find(&archive, signature).unwrap();
        archive[header + at] = 1;
    }
    assert_eq!(tree(&look("x", archive)), ["x zip", "x > a.exe unknown unreadable"]);
}

#[test]
fn formats_known_by_their_signature_are_unreadable() {
    let cases: &[(&[u8], usize, &str)] = &[
        (b"Rar!\x1a\x07\x00", 0, "rar"),
        (b"**ACE**", 7, "ace"),
        (b"\x60\xea\x2c\x00", 0, "arj"),
        (b"MSCF\0\0\0\0", 0, "cab"),
        (b"-lh5-", 2, "lzh"),
        (b"CD001", 0x8001, "iso"),
        (b"NSR02", 0x8001, "udf"),
        (b"conectix", 0, "vhd"),
        (b"vhdxfile", 0, "vhdx"),
    ];
    for (magic, at, kind) in cases {
        let mut octets = vec![b'\x02'; *at];
        octets.extend_from_slice(magic);
        octets.resize(octets.len() + 600, 3);
        assert_eq!(tree(&look("x", octets)), [format!("x {kind} unreadable")]);
    }
}

#[test]
fn programs_that_extract_themselves_are_opened() {
    let with_zip = [make::program(), make::zip(&[("a.js", b"hello")])].concat();
    assert_eq!(tree(&look("x", with_zip)), ["x pe polyglot", "x > a.js plain"]);
    let with_7z = [make::program(), make::seven_z(&[("a.js", b"hello")], None)].concat();
    assert_eq!(tree(&look("x", with_7z)), ["x pe", "x > 7z 7z", "x > 7z > a.js plain"]);
}

/// Patches the method of every header; 9 is Deflate64, 98 PPMd.
#[test]
fn methods_that_are_not_opened_are_told_and_not_skipped() {
    for method in [9_u16, 98] {
        let mut zip = make::zip(&[("a.exe", &make::program())]);
        for (signature, at) in [(&b"PK\x03\x04"[..], 8), (b"PK\x01\x02", 10)] {
            let header = memchr::memmem::find(&zip, signature).unwrap();
            zip[header + at..header + at + 2].copy_from_slice(&method.to_le_bytes());
        }
        assert_eq!(tree(&look("a.zip", zip)), ["a.zip zip", "a.zip > a.exe unknown unreadable"], "{method}");
    }
}

/// What a document's streams have inside comes along with them.
#[test]
fn nothing_is_deeper_than_the_limit() {
    let ole = make::ole(&[("\u{1}Ole10Native", &make::native("b.exe", &make::program()))]);
    let limits = Limits { depth: 1, ..limits() };
    let unpacked = unpack([part("a.doc", ole), part("b.zip", make::zip(&[("c", b"d")]))], &limits, &mut |_| true).unwrap();
    assert_eq!(unpacked.exceeded(), Some(Limit::Depth));
    assert!(unpacked.all().iter().all(|file| file.depth <= 1));
    assert!(tree(&unpacked).iter().any(|line| line == "b.zip > c plain"), "the others are looked into: {:?}", tree(&unpacked));
}
