//! The path of a guarded request, read so that the guard and the service behind it cannot read two different ones.

use percent_encoding::percent_decode_str;

/// A longer path is refused.
const MAX_PATH: usize = 8 * 1024;

/// Reads a path, with or without a query behind it, into decoded segments joined by `/`.
///
/// # Errors
/// What about it somebody might read in another way: dot segments, slashes that are encoded, what is encoded twice,
/// parameters, empty segments, control characters, what is not UTF-8.
pub(super) fn read(raw: &str) -> Result<String, &'static str> {
    let path = raw.split_once('?').map_or(raw, |(path, _)| path);
    if path.len() > MAX_PATH {
        return Err("the path is longer than 8192 bytes");
    }
    let Some(segments) = path.strip_prefix('/') else { return Err("the path does not begin with /") };
    let mut decoded = String::with_capacity(path.len());
    let mut rest = segments.split('/').peekable();
    while let Some(segment) = rest.next() {
        if segment.is_empty() && rest.peek().is_some() {
            return Err("the path has an empty segment (//)");
        }
        decoded.push('/');
        decoded.push_str(&decode(segment)?);
    }
    Ok(decoded)
}

fn decode(segment: &str) -> Result<String, &'static str> {
    if !escapes_are_whole(segment) {
        return Err("the path has a % without two hexadecimal digits behind it");
    }
    let once = percent_decode_str(segment).decode_utf8().map_err(|_| "the path is not UTF-8")?.into_owned();
    // Servers are known that decode a second time.
    if percent_decode_str(&once).decode_utf8_lossy() != once {
        return Err("the path is encoded twice");
    }
    if once.contains(['/', '\\']) {
        return Err("the path has an encoded slash or a backslash");
    }
    if once.chars().any(|c| c.is_control() || c == '#') {
        return Err("the path has a control character or a #");
    }
    // Servers are known that take them off before they look for the route.
    if once.contains(';') {
        return Err("the path has parameters (;)");
    }
    if matches!(once.trim_end(), "." | "..") {
        return Err("the path has a dot segment");
    }
    Ok(once)
}

fn escapes_are_whole(segment: &str) -> bool {
    let mut parts = segment.split('%');
    parts.next();
    parts.all(|part| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn paths_that_have_one_reading_are_read() {
        for (raw, path) in [
            ("/", "/"),
            ("/orders", "/orders"),
            ("/orders/", "/orders/"),
            ("/orders/17?scope=x&a=/../b", "/orders/17"),
            ("/%6frders/a%20b", "/orders/a b"),
            ("/caf%C3%A9", "/café"),
            ("/100%25", "/100%"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(read(raw), Ok(path.to_owned()), "{raw}");
        }
    }

    #[test]
    fn paths_that_have_two_readings_are_refused() {
        for raw in [
            "",
            "orders",
            "http://host/orders",
            "//orders",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a/%2e%2E/b",
            "/a/.%2e/b",
            "/a/%252e%252e/b",
            "/a/..;x=y/b",
            "/a;v=1/b",
            "/a%3bv",
            "/%2565xport",
            "/a%253bv",
            "/a/.. /b",
            "/a%2Fb",
            "/a%2fb",
            "/a%252Fb",
            "/a\\b",
            "/a%5Cb",
            "/a%255cb",
            "/a%00b",
            "/a%0d%0ab",
            "/a#b",
            "/a%23b",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%ff",
            &format!("/{}", "a".repeat(9000)),
        ] {
            assert!(read(raw).is_err(), "{raw}");
        }
    }
}
