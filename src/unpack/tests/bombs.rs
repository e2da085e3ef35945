use super::{make, *};

/// What was asked of the memory budget, and which limit ended it.
fn measured(octets: Vec<u8>, limits: &Limits) -> (u64, Option<Limit>) {
    let mut reserved = 0;
    let mut reserve = |octets| {
        reserved += octets;
        true
    };
    let unpacked = unpack([part("bomb", octets)], limits, &mut reserve).unwrap();
    assert!(unpacked.exceeded().is_none() || unpacked.all().iter().any(|file| file.flags.has(Flag::Limit)));
    assert!(unpacked.all().len() <= limits.files);
    (reserved, unpacked.exceeded())
}

#[test]
fn bombs_of_every_kind_are_answered_within_the_limits() {
    let zeros = vec![0; 24 << 20];
    let zipped = make::zip(&[("a", &zeros)]);
    let nested = make::zip(&[("a.zip", &zipped), ("b.zip", &zipped)]);
    let bombs = [
        ("zip", zipped.clone()),
        ("zip in zip", nested),
        ("gzip", make::gzip(&zeros)),
        ("gzip in gzip", make::gzip(&make::gzip(&zeros))),
        ("members of gzip", make::gzip(&vec![0; 1 << 20]).repeat(100)),
        ("bzip2", make::bzip2(&zeros)),
        ("xz", make::xz(&zeros)),
        ("zstd", make::zstd(&zeros)),
        ("7z", make::seven_z(&[("a", &zeros)], None)),
        ("tar in gzip", make::gzip(&make::tar(&[("a", &zeros)]))),
        ("document", make::zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", &zeros)])),
        ("stream of a pdf", pdf_bomb(&zeros)),
    ];
    for (name, bomb) in bombs {
        // As they are by default, the time too.
        let limits = Limits::default();
        let (reserved, exceeded) = measured(bomb, &limits);
        assert!(matches!(exceeded, Some(Limit::Ratio | Limit::Size | Limit::Time)), "{name}: {exceeded:?}");
        assert!(reserved <= limits.size, "{name}: {reserved}");
    }
}

fn pdf_bomb(zeros: &[u8]) -> Vec<u8> {
    let packed = make::zlib(zeros);
    [b"%PDF-1.5\n1 0 obj <</Type/ObjStm/Filter/FlateDecode>> stream\n", &packed[..], b"\nendstream endobj"].concat()
}

#[test]
fn many_small_files_meet_their_number() {
    let names: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    for archive in [make::zip(&members), make::tar(&members), make::seven_z(&members, None)] {
        let limits = Limits { files: 200, ..limits() };
        assert_eq!(measured(archive, &limits).1, Some(Limit::Files));
    }
}

#[test]
fn depth_ends_a_branch_and_not_the_others() {
    let mut deep = b"at the bottom".to_vec();
    for _ in 0..20 {
        deep = make::stored(&[("a.zip", &deep)]);
    }
    let unpacked = unpack([part("deep", deep), part("b.zip", make::zip(&[("c", b"d")]))], &limits(), &mut |_| true).unwrap();
    assert_eq!(unpacked.exceeded(), Some(Limit::Depth));
    assert_eq!(unpacked.all().iter().map(|file| file.depth).max(), Some(10));
    assert_eq!(tree(&unpacked).last().unwrap(), "b.zip > c plain");
}

#[test]
fn files_that_overlap_are_unpacked_once() {
    // Entries of a directory that all mean one local header: Fifield's bomb, in its simplest form.
    let mut archive = make::zip(&[("a", &vec![0; 1 << 20])]);
    let at = memchr::memmem::find(&archive, b"PK\x01\x02").unwrap();
    let end = memchr::memmem::find(&archive, b"PK\x05\x06").unwrap();
    let (entry, tail) = (archive[at..end].to_vec(), archive.split_off(end));
    for _ in 0..1_000 {
        archive.extend_from_slice(&entry);
    }
    archive.extend_from_slice(&tail);
    let (reserved, exceeded) = measured(archive, &limits());
    assert_eq!(exceeded, None);
    assert!(reserved <= (1 << 20) + (256 << 10), "{reserved}");
}

#[test]
fn what_takes_time_without_memory_ends_with_its_time() {
    // Files that are stored are slices of the archive; all of them are digested.
    let noise = make::noise(4 << 20);
    let names: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let mut archive = make::stored(&members);
    archive.extend_from_slice(&noise);
    // Each says that it reaches to the end.
    let len = archive.len() as u32;
    for at in memchr::memmem::find_iter(&archive.clone(), b"PK\x01\x02") {
        archive[at + 20..at + 24].copy_from_slice(&len.to_le_bytes());
    }
    let limits = Limits { time: Duration::from_millis(20), ..Limits::default() };
    assert_eq!(measured(archive, &limits).1, Some(Limit::Time));
}

#[test]
fn a_header_that_promises_much_is_not_believed() {
    // A header of 7z that says it unpacks to a gigabyte of entries.
    let mut archive = make::seven_z(&[("a", b"b")], None);
    let offset = u64::from_le_bytes(archive[12..20].try_into().unwrap()) as usize + 32;
    let len = u64::from_le_bytes(archive[20..28].try_into().unwrap()) as usize;
    let promised = archive[offset..offset + len].to_vec();
    archive.splice(offset..offset, vec![1; 300 << 10]);
    archive.truncate(offset + (300 << 10));
    archive[20..28].copy_from_slice(&(300_u64 << 10).to_le_bytes());
    assert_eq!(measured(archive, &limits()).1, Some(Limit::Files), "{promised:?}");
}

#[test]
fn after_a_limit_the_other_parts_are_known_and_not_opened() {
    let parts = [part("a", make::gzip(&vec![0; 20 << 20])), part("b", make::zip(&[("c", b"d")])), part("d", make::program())];
    let unpacked = unpack(parts, &limits(), &mut |_| true).unwrap();
    assert_eq!(tree(&unpacked), ["a gzip limit", "a > a unknown limit", "b zip limit", "d pe limit"]);
}

#[test]
fn without_memory_there_is_no_answer() {
    assert!(unpack([part("a", make::gzip(b"b"))], &limits(), &mut |_| false).is_err());
}
