//! Titles as they stand in an address: `Hello, World!` is `hello-world`.

/// Lower case, with one hyphen in place of everything that is neither letter nor digit.
pub fn slug(title:&str)->String {
    let mut out = String::with_capacity( title.len() );
    for word in title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if !out.is_empty() { out.push('-'); }
      out.push_str(&word.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn words_are_joined_by_one_hyphen() {
        assert_eq!(slug("Hello, World!"), "hello-world");
        assert_eq!(slug("  Ünder  the sea "),
        "ünder-the-sea");
        assert_eq!(slug("--"), "");
    }
}
