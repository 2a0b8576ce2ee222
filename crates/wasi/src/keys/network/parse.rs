//! Network keys as people write them. What is refused is told with the thing, the reason and what to write instead.

use std::net::{IpAddr, Ipv6Addr};

use super::{AddressRange, NamePattern, NetAction, NetHost, NetKey, PortSet};

/// How keys are written.
const FORMS: &str =
    "connect:HOST:PORT, listen:ADDRESS:PORT, udp:HOST:PORT, udp-bind:ADDRESS:PORT or resolve:NAME";

/// Reads a key.
pub(super) fn key(text: &str) -> Result<NetKey, String> {
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let action = NetAction::ALL.iter().copied().find(|action| action.word() == word);
    let Some(action) = action else { return Err(no_action(text, word)) };
    if rest.is_empty() {
        return Err(format!("`{text}` does not say which host: write {}", example(action)));
    }
    if let Some((scheme, _)) = rest.split_once("://") {
        return Err(format!(
            "`{text}` has a URL in it, and a key has a host and a port: write {} without `{scheme}://` and path",
            example(action)
        ));
    }
    if action == NetAction::Resolve {
        return Ok(NetKey { action, host: name_to_resolve(text, rest)?, ports: PortSet::default() });
    }
    let (host, ports) = split(text, action, rest)?;
    let within = |error: String| format!("`{text}`: {error}");
    let host = self::host(action, host).map_err(within)?;
    let ports = PortSet::parse(ports).map_err(within)?;
    if !action.is_local() && ports != PortSet::all() && ports.contains(0) {
        return Err(format!(
            "`{text}`: nobody is reached on port 0: write the port that the host listens on, or * for all"
        ));
    }
    if matches!(&host, NetHost::Addresses(range) if !action.is_local() && range.as_single().is_some_and(|it| it.is_unspecified()))
    {
        return Err(format!(
            "`{text}`: nobody has the unspecified address: write localhost for this machine, or * for every host"
        ));
    }
    Ok(NetKey { action, host, ports })
}

/// What to say where a key does not begin with what it is for.
fn no_action(text: &str, word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "tcp" | "outbound" => Some("connect"),
        "bind" | "tcp-bind" | "tcp-listen" | "accept" | "inbound" => Some("listen"),
        "udp-listen" | "udp-server" => Some("udp-bind"),
        "dns" | "lookup" | "name" => Some("resolve"),
        _ => NetAction::ALL.iter().map(|action| action.word()).find(|known| *known == lower),
    };
    if let Some(meant) = meant {
        return format!("`{word}` is nothing that a network key is for: write `{meant}`, as in {FORMS}");
    }
    if text.contains("://") {
        return format!(
            "`{text}` is a URL, and a network key says what for, which host and which port: write {FORMS}"
        );
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && PortSet::parse(port).is_ok() => {
            format!(
                "`{text}` does not say what for: write connect:{text} to connect there, or listen:{text} to listen there"
            )
        }
        _ => format!("`{text}` is no network key: write {FORMS}"),
    }
}

fn example(action: NetAction) -> &'static str {
    match action {
        NetAction::Connect => "connect:example.com:443",
        NetAction::Listen => "listen:127.0.0.1:8080",
        NetAction::Udp => "udp:192.0.2.1:53",
        NetAction::UdpBind => "udp-bind:127.0.0.1:5353",
        NetAction::Resolve => "resolve:example.com",
    }
}

/// Host and ports, which the last colon parts.
fn split<'a>(text: &str, action: NetAction, rest: &'a str) -> Result<(&'a str, &'a str), String> {
    let word = action.word();
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Err(format!(
            "`{text}`: an address of IPv6 stands in brackets, and a port after it: write {word}:[{rest}]:PORT"
        ));
    }
    match rest.rsplit_once(':') {
        Some((host, ports)) if !ports.ends_with(']') => match host.is_empty() {
            true => Err(format!(
                "`{text}` does not say which host: write {}, or * for every one",
                example(action)
            )),
            false => Ok((host, ports)),
        },
        _ if PortSet::parse(rest).is_ok() && rest != "*" => Err(format!(
            "`{text}` does not say which host: write {word}:HOST:{rest}, or {word}:*:{rest} for every one"
        )),
        _ => Err(format!(
            "`{text}` does not say which port: write {word}:{rest}:PORT, or {word}:{rest}:* for every one"
        )),
    }
}

/// Reads the hosts of a key.
pub(in crate::keys) fn host(action: NetAction, text: &str) -> Result<NetHost, String> {
    if text == "*" {
        return Ok(NetHost::Any);
    }
    if let Some(range) = addresses(text)? {
        return Ok(NetHost::Addresses(range));
    }
    if text.contains(':') {
        return Err(format!("an address of IPv6 stands in brackets: write [{text}], or correct it"));
    }
    if action.is_local() && text != "localhost" {
        return Err(format!(
            "`{text}` is no address of this machine: write one, such as 127.0.0.1, or localhost, 0.0.0.0, or * for all"
        ));
    }
    NamePattern::parse(text).map(NetHost::Names)
}

/// Reads an address or a range of them, if it looks like one.
fn addresses(text: &str) -> Result<Option<AddressRange>, String> {
    let (address, prefix) = match text.strip_prefix('[') {
        None => match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        },
        Some(rest) => {
            let (inside, after) = rest
                .split_once(']')
                .ok_or_else(|| format!("`{text}`: a bracket is missing: write [ADDRESS]"))?;
            match (inside.split_once('/'), after.strip_prefix('/')) {
                (None, None) if after.is_empty() => (inside, None),
                (Some((address, prefix)), None) if after.is_empty() => (address, Some(prefix)),
                (None, Some(prefix)) => (inside, Some(prefix)),
                _ => {
                    return Err(format!(
                        "`{text}` is no address: write [ADDRESS] or [ADDRESS/BITS], and a port after it"
                    ));
                }
            }
        }
    };
    let is_bracketed = text.starts_with('[');
    if address.contains('%') {
        return Err(format!(
            "`{text}` has a zone, and keys have none: write the address alone, which is granted on every link"
        ));
    }
    let parsed = match is_bracketed {
        true => Some(IpAddr::V6(
            address
                .parse()
                .map_err(|_| format!("`{address}` is no address of IPv6: write one as in [2001:db8::1]"))?,
        )),
        false => address.parse().ok().map(IpAddr::V4),
    };
    let (Some(address), prefix) = (parsed, prefix) else {
        return match prefix {
            None => Ok(None),
            Some(_) => {
                Err(format!("`{text}` is no range of addresses: write one as in 10.0.0.0/8 or [fd00::/8]"))
            }
        };
    };
    let Some(prefix) = prefix else { return Ok(Some(AddressRange::single(address))) };
    let bits = prefix.parse().ok().filter(|_| prefix.bytes().all(|byte| byte.is_ascii_digit()));
    let bits = bits.ok_or_else(|| {
        format!("`{prefix}` is no number of bits: write a range as in 10.0.0.0/8 or [fd00::/8]")
    })?;
    AddressRange::new(address, bits).map(Some)
}

/// Reads the names of a key to look them up.
fn name_to_resolve(text: &str, name: &str) -> Result<NetHost, String> {
    if name == "*" {
        return Ok(NetHost::Any);
    }
    if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "`{text}`: an address needs no looking up: write connect:{name}:PORT to connect there"
        ));
    }
    if let Some((name, _)) = name.rsplit_once(':').filter(|(name, _)| !name.contains(':')) {
        return Err(format!(
            "`{text}`: names are looked up without a port: write resolve:{name}, or connect:{name}:PORT to connect there, too"
        ));
    }
    NamePattern::parse(name).map(NetHost::Names).map_err(|error| format!("`{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printed_as_they_are_written() {
        for (text, printed) in [
            ("connect:example.com:443", ""),
            ("connect:Example.COM.:443,80", "connect:example.com:80,443"),
            ("connect:*.example.com:*", ""),
            ("connect:192.0.2.1:80", ""),
            ("connect:10.0.0.0/8:8000-8999", ""),
            ("connect:[2001:DB8::1]:443", "connect:[2001:db8::1]:443"),
            ("connect:[fd00::/8]:443", ""),
            ("connect:[fd00::]/8:443", "connect:[fd00::/8]:443"),
            ("connect:[::ffff:192.0.2.1]:80", "connect:192.0.2.1:80"),
            ("connect:*:*", ""),
            ("connect:0.0.0.0/0:80", ""),
            ("listen:127.0.0.1:8080", ""),
            ("listen:localhost:0", ""),
            ("listen:0.0.0.0:80", ""),
            ("listen:[::]:80", ""),
            ("udp:192.0.2.1:53", ""),
            ("udp-bind:*:5353", ""),
            ("resolve:example.com", ""),
            ("resolve:*", ""),
            ("resolve:*.example.com", ""),
        ] {
            let printed = if printed.is_empty() { text } else { printed };
            assert_eq!(key(text).map(|key| key.to_string()), Ok(printed.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_told_with_what_to_write() {
        for (text, mend) in [
            ("", "write connect:HOST:PORT"),
            ("example.com", "write connect:HOST:PORT"),
            ("example.com:443", "write connect:example.com:443"),
            ("8080", "write connect:HOST:PORT"),
            ("https://example.com/", "is a URL"),
            ("connect:https://example.com:443", "without `https://`"),
            ("tcp:example.com:80", "write `connect`"),
            ("CONNECT:example.com:80", "write `connect`"),
            ("dns:example.com", "write `resolve`"),
            ("connect", "write connect:example.com:443"),
            ("connect:", "write connect:example.com:443"),
            ("connect:example.com", "write connect:example.com:PORT, or connect:example.com:*"),
            ("connect:443", "write connect:HOST:443"),
            ("connect::443", "does not say which host"),
            ("connect:example.com:", "is no port"),
            ("connect:example.com:https", "is no port"),
            ("connect:example.com:0", "nobody is reached on port 0"),
            ("connect:example.com:70000", "ports go up to 65535"),
            ("connect:::1", "write connect:[::1]:PORT"),
            ("connect:[::1]", "write connect:[::1]:PORT"),
            ("connect:fe80::1:2:3:4:5:6:7:80", "stands in brackets"),
            ("connect:[::1:80", "a bracket is missing"),
            ("connect:[::1]x:80", "write [ADDRESS]"),
            ("connect:[example.com]:80", "is no address of IPv6"),
            ("connect:[fe80::1%eth0]:80", "keys have none"),
            ("connect:10.0.0.1/8:80", "write 10.0.0.0/8 for the range, or 10.0.0.1 for the address"),
            ("connect:[fd00::1/8]:80", "write [fd00::/8] for the range, or [fd00::1] for the address"),
            ("connect:10.0.0.0/33:80", "has 32 bits"),
            ("connect:10.0.0.0/x:80", "is no number of bits"),
            ("connect:10.0.0.0/+8:80", "is no number of bits"),
            ("connect:example.com/8:80", "is no range of addresses"),
            ("connect:[::ffff:10.0.0.0/104]:80", "10.0.0.0/BITS"),
            ("connect:127.1:80", "ends in a number"),
            ("connect:0x7f000001:80", "ends in a number"),
            ("connect:0.0.0.0:80", "write localhost"),
            ("connect:[::]:80", "write localhost"),
            ("connect:b\u{fc}cher.example:80", "xn--"),
            ("connect:a b:80", "is no name"),
            ("listen:example.com:80", "is no address of this machine"),
            ("listen:8080", "write listen:HOST:8080"),
            ("resolve:192.0.2.1", "write connect:192.0.2.1:PORT"),
            ("resolve:[::1]", "needs no looking up"),
            ("resolve:example.com:80", "write resolve:example.com"),
        ] {
            let error = key(text).expect_err(text);
            assert!(error.contains(mend), "{text}: {error}");
            assert!(error.contains('`') && error.contains(": "), "{text}: {error}");
        }
    }

    /// Whatever is made of pieces of keys is refused or read, and what is read is printed so that it is read as the same.
    #[test]
    fn what_is_read_is_printed_so_that_it_is_read_as_the_same() {
        let pieces = [
            "connect",
            "listen",
            "udp",
            "udp-bind",
            "resolve",
            ":",
            ":",
            ":",
            ":",
            "*",
            "[",
            "]",
            "/",
            "8",
            "0",
            "443",
            "65535",
            "65536",
            ",",
            "-",
            ".",
            "::",
            "1",
            "fd00::",
            "10.0.0.0",
            "127.0.0.1",
            "::ffff:1.2.3.4",
            "%1",
            "localhost",
            "example",
            "com",
            "xn--a",
            "\u{e9}",
            " ",
            "A",
            "_",
            "0x1",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let mut read = 0;
        for round in 0..200_000 {
            let mut text = String::new();
            if round % 2 == 0 {
                text = format!("{}:", NetAction::ALL[next(5)].word());
            }
            (0..next(8)).for_each(|_| text.push_str(pieces[next(pieces.len())]));
            if let Ok(parsed) = key(&text) {
                read += 1;
                assert_eq!(key(&parsed.to_string()), Ok(parsed.clone()), "{text} {parsed}");
            }
        }
        assert!(read > 1000, "{read}");
    }
}
