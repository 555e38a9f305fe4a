//! Rust with literals, and comments too if one likes, blanked out, so that a word found in it is not data.
//!
//! Deliberately not a parser: it knows comments, strings, raw strings and characters, and every line stays
//! where it was.

/// The text with every comment and literal replaced by spaces.
pub(super) fn code_only(text: &str) -> String {
    blank(text, |_| true)
}

/// The text with every literal replaced by spaces; comments are kept.
pub(super) fn code_and_comments(text: &str) -> String {
    blank(text, |piece| !piece.starts_with(b"/"))
}

/// Replaces the comments and literals that are `unwanted` by as many spaces.
fn blank(text: &str, unwanted: impl Fn(&[u8]) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while out.len() < bytes.len() {
        let at = out.len();
        let end = piece_end(bytes, at);
        if end > at && unwanted(&bytes[at..end]) {
            out.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
        } else {
            out.extend_from_slice(&bytes[at..end.max(at + 1)]);
        }
    }
    String::from_utf8(out).expect("only whole pieces were replaced, by ASCII")
}

/// The lines of code, from 1, that hold `word` as a whole word.
pub(super) fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let code = code_only(text);
    code.lines().enumerate().filter(|(_, line)| has_word(line, word)).map(|(index, _)| index + 1).collect()
}

/// Whether `word` occurs with no letter, digit or underscore beside it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(joins) && !line[at + word.len()..].chars().next().is_some_and(joins)
    })
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn piece_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !follows_a_word(bytes, at) => raw_string(rest),
        [b'\'', ..] => character(rest),
        _ => 0,
    };
    at + length
}

fn follows_a_word(bytes: &[u8], at: usize) -> bool {
    // `br"…"` is a literal too; `for r#"` does not occur, as a keyword is followed by a space.
    at > 0 && bytes[at - 1] != b'b' && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"` and `r#"…"#`; 0 for a raw identifier (`r#type`).
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    let end = rest[body..].windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| body + end + close.len())
}

/// A character in quotes; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    let body = std::str::from_utf8(&rest[1..rest.len().min(6)]).unwrap_or_else(|error| {
        // Cut in the middle of a later character; what comes before it is whole.
        std::str::from_utf8(&rest[1..=error.valid_up_to()]).expect("checked up to here")
    });
    match body.chars().next() {
        Some('\\') => quoted(rest, b'\''),
        Some(c) if rest.get(1 + c.len_utf8()) == Some(&b'\'') => 2 + c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let check = |text: &str, expected: &str| {
            let code = code_only(text);
            assert_eq!(code.len(), text.len());
            assert_eq!(code.lines().count(), text.lines().count());
            assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        };
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b \" c", d)"#, "a( , d)");
        check("a(\"b\n c\") d", "a( ) d");
        check(r###"a(r#"b " c"#) d"###, "a( ) d");
        check(r#"a(br"b") r#type"#, "a(b ) r#type");
        check("match c { '\"' => a, '\\'' => b, 'é' => c }", "match c { => a, => b, => c }");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("\"never closed", "");
    }

    #[test]
    fn comments_can_be_kept() {
        assert_eq!(code_and_comments("a(\"b\"); // \"c\" d"), "a(   ); // \"c\" d");
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(lines_with_word("a\nunsafe { }\n// unsafe\nunsafe_code", "unsafe"), [2]);
    }
}
