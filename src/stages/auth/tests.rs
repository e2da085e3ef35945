use super::author::Authorship;
use crate::message::HeaderBlock;

#[test]
fn throwaway() {
    let mut count = std::collections::BTreeMap::new();
    for kind in ["ham", "spam"] {
        let (mut n, mut bad) = (0, 0);
        for e in std::fs::read_dir(format!("/tmp/corpus/corpus/{kind}")).unwrap() {
            let path = e.unwrap().path();
            let mut octets = std::fs::read(&path).unwrap();
            if octets.starts_with(b"From ") {
                let i = octets.iter().position(|o| *o == b'\n').unwrap();
                octets.drain(..=i);
            }
            let text: Vec<u8> = octets.split(|o| *o == b'\n').flat_map(|l| [l, b"\r\n"].concat()).collect();
            let end = memchr::memmem::find(&text, b"\r\n\r\n").map_or(text.len(), |i| i + 2);
            let headers = HeaderBlock::new(text[..end].to_vec().into());
            let a = Authorship::of(&headers);
            n += 1;
            if !a.doubts.is_empty() {
                bad += 1;
                for d in &a.doubts {
                    *count.entry((kind, d.as_str())).or_insert(0) += 1;
                }
                println!(
                    "{kind} {:?} {:?} {}",
                    path.file_name().unwrap(),
                    a.doubts,
                    headers.find("from").map_or(String::new(), |f| f.for_log(200))
                );
            }
        }
        println!("{kind}: {bad} of {n}");
    }
    println!("{count:#?}");
}
