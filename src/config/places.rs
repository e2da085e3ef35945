//! What cannot be listened on at the same time, and mail that would come back: settings of several
//! modules, of which none knows the others.
use super::Config;
use crate::value::settings::{Problem, asked::Table};
use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

/// Somewhere that is listened on.
struct Place {
    /// As it is called in a message.
    name: String,
    address: SocketAddr,
    is_listener: bool,
    span: Range<usize>,
}

/// The mistakes of a configuration, whose `text` has been read as `tables`, in its addresses.
pub(super) fn conflicts(config: &Config, tables: &[Table], text: &str) -> Vec<Problem> {
    let places: Vec<Place> = tables.iter().filter_map(|table| place(table, text)).collect();
    let mut found = Vec::new();
    for (n, place) in places.iter().enumerate() {
        let earlier = places.iter().take(n);
        if let Some(other) = earlier.into_iter().find(|other| in_the_way(other, place, &places)) {
            let text = format!("`{}`: {} listens at {} already: take another port", key_of(place), other.name, other.address);
            found.push(Problem { span: place.span.clone(), text });
        }
    }
    for upstream in &config.gate.upstreams {
        let path = format!("upstream.{}", upstream.name);
        let Some(span) = tables.iter().find(|table| table.path == path).and_then(|table| span_of(table, "addresses")) else { continue };
        for server in &upstream.servers {
            let Some(own) = places.iter().find(|place| server.is_at(place.address)) else { continue };
            let text = format!("`{path}.addresses`: {server} is {} itself: mail would go in circles", own.name);
            found.push(Problem { span: span.clone(), text });
        }
    }
    found
}

fn key_of(place: &Place) -> &'static str {
    match place.name.as_str() {
        "[metrics]" => "metrics.address",
        "[console]" => "console.address",
        _ => "listener.address",
    }
}

fn span_of(table: &Table, key: &str) -> Option<Range<usize>> {
    table.keys.iter().find(|own| own.name == key)?.span.clone()
}

/// `None` where it is none, or one that is still to be chosen (port 0), or systemd's.
fn place(table: &Table, text: &str) -> Option<Place> {
    let is_listener = table.path == "listener";
    if !is_listener && !["metrics", "console"].contains(&table.path.as_str()) {
        return None;
    }
    let quoted = |key: &str| Some(text.get(span_of(table, key)?)?.trim_matches(['"', '\'']).to_owned());
    let span = span_of(table, "address")?;
    let address: SocketAddr = quoted("address")?.parse().ok()?;
    let name = if is_listener { format!("the listener `{}`", quoted("name")?) } else { format!("[{}]", table.path) };
    (address.port() != 0).then_some(Place { name, address, is_listener, span })
}

/// Whether the second cannot be had where the first is. Listeners of the very same address are told by
/// their reader.
fn in_the_way(first: &Place, second: &Place, all: &[Place]) -> bool {
    let (a, b) = (first.address, second.address);
    if a.port() != b.port() || (a == b && first.is_listener && second.is_listener) {
        return false;
    }
    if a.is_ipv4() == b.is_ipv4() {
        return a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    }
    // `[::]` takes IPv4 too, but for a listener that leaves it to another one.
    let everywhere = |place: &Place| place.address.is_ipv6() && place.address.ip().is_unspecified();
    let leaves_v4 = |place: &Place| {
        let v4 = |other: &Place| other.is_listener && other.address == SocketAddr::new(IpAddr::from([0, 0, 0, 0]), a.port());
        place.is_listener && all.iter().any(v4)
    };
    [first, second].into_iter().any(|place| everywhere(place) && !leaves_v4(place))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use std::path::Path;

    fn found(listeners: &[&str], more: &str) -> Vec<String> {
        let listeners = listeners.iter().enumerate();
        let listeners = listeners.map(|(n, at)| format!("[[listener]]\nname = \"l{n}\"\naddress = \"{at}\"\ntls = \"off\"\n"));
        let (tail, more) = more.split_once('|').unwrap_or(("127.0.0.1:10025", more));
        let text =
            format!("hostname = \"mx.example.org\"\n{}[upstream.default]\naddresses = [\"{tail}\"]\n{more}", listeners.collect::<String>());
        let report = Config::parse(Path::new("f"), text).err().map(|report| report.to_string()).unwrap_or_default();
        report.lines().filter(|line| line.starts_with("f:")).map(str::to_owned).collect()
    }

    #[test]
    fn who_is_in_whose_way_is_told() {
        let metrics = |at: &str| format!("[metrics]\naddress = \"{at}\"\n");
        assert_eq!(
            found(&["127.0.0.1:2525", "0.0.0.0:2525"], ""),
            ["f:8:11: `listener.address`: the listener `l0` listens at 127.0.0.1:2525 already: take another port"]
        );
        assert_eq!(
            found(&["127.0.0.1:2525"], &metrics("127.0.0.1:2525")),
            ["f:9:11: `metrics.address`: the listener `l0` listens at 127.0.0.1:2525 already: take another port"]
        );
        assert_eq!(found(&["[::]:2525"], &metrics("127.0.0.1:2525")).len(), 1);
        assert_eq!(found(&["[::]:2525", "127.0.0.1:2525"], "").len(), 1);
        for fine in [found(&["[::]:2525", "0.0.0.0:2525"], ""), found(&["127.0.0.1:0", "0.0.0.0:0"], &metrics("127.0.0.1:0"))] {
            assert_eq!(fine, Vec::<String>::new());
        }
        assert_eq!(
            found(&["127.0.0.1:2525", "[::1]:2525", "127.0.0.2:2525", "systemd:x"], &metrics("127.0.0.1:9925")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn mail_that_would_go_in_circles_is_told() {
        for (listener, upstream) in [
            ("127.0.0.1:2525", "127.0.0.1:2525"),
            ("0.0.0.0:2525", "127.0.0.1:2525"),
            ("[::]:2525", "127.0.0.1:2525"),
            ("[::]:2525", "localhost:2525"),
            ("127.0.0.1:2525", "localhost:2525"),
            ("192.0.2.1:2525", "192.0.2.1:2525"),
        ] {
            let found = found(&[listener], &format!("{upstream}|"));
            assert!(
                found.len() == 1 && found[0].ends_with("is the listener `l0` itself: mail would go in circles"),
                "{upstream}: {found:?}"
            );
        }
        for (listener, upstream) in
            [("127.0.0.1:2525", "127.0.0.1:2526"), ("127.0.0.1:2525", "127.0.0.2:2525"), ("0.0.0.0:25", "192.0.2.1:25")]
        {
            assert_eq!(found(&[listener], &format!("{upstream}|")), Vec::<String>::new());
        }
    }
}
