//! Addresses with a query, encoded.

use std::fmt::Write as _;

/// `path?name=value&…` with every value percent-encoded; pairs with an empty value are left out.
pub(crate) fn href(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    let mut separator = '?';
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(separator);
        out.push_str(name);
        out.push('=');
        encode(value, &mut out);
        separator = '&';
    }
    out
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::href;

    #[test]
    fn values_cannot_leave_their_place() {
        assert_eq!(href("/runs", &[("text", "a&b=c #\"<é"), ("state", "")]), "/runs?text=a%26b%3Dc%20%23%22%3C%C3%A9");
        assert_eq!(href("/runs", &[]), "/runs");
        assert_eq!(href("/r", &[("work", "test#1"), ("from", "3")]), "/r?work=test%231&from=3");
    }
}
