use super::{make, *};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Archives of every kind, to be spoilt.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let members: make::Members<'_> = &[("a.txt", b"hello hello hello hello"), ("b/c.exe", b"MZ there")];
    let ole =
        make::ole(&[("/WordDocument", &[0; 64]), ("/Macros/VBA/_VBA_PROJECT", b"x"), ("/\u{1}Ole10Native", &make::native("a", b"b"))]);
    let hex: String = ole.iter().map(|octet| format!("{octet:02x}")).collect();
    vec![
        make::zip(members),
        make::stored(members),
        make::tar(members),
        make::seven_z(members, None),
        make::gzip(b"hello"),
        make::bzip2(b"hello"),
        make::xz(b"hello"),
        make::zstd(b"hello"),
        ole,
        format!("{{\\rtf1{{\\object{{\\*\\objdata {hex}}}}}}}").into(),
        b"%PDF-1.5\n1 0 obj<</Type/ObjStm/Filter/FlateDecode>>stream\r\nxxxx\nendstream endobj".to_vec(),
    ]
});

fn bounded(octets: Vec<u8>) {
    let limits = Limits { size: 4 << 20, files: 50, depth: 4, ..limits() };
    let mut reserved = 0;
    let mut reserve = |octets| {
        reserved += octets;
        true
    };
    let unpacked = unpack([part("x", octets)], &limits, &mut reserve).unwrap();
    assert!(unpacked.all().len() <= limits.files + 1 && reserved <= limits.size);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_octets_are_answered(octets: Vec<u8>) {
        bounded(octets);
    }

    #[test]
    fn spoilt_archives_are_answered(which in 0..11_usize, places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        let mut octets = SAMPLES[which].clone();
        for (place, octet) in places {
            let at = place.index(octets.len());
            octets[at] = octet;
        }
        octets.truncate(octets.len() - cut.index(octets.len()) / 4);
        bounded(octets);
    }
}
