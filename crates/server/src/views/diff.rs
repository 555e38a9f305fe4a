//! A unified diff with colours, cut where it would make the page slow.

use maud::{Markup, html};

use super::text::clip;

/// Lines shown of one diff.
const LINES_MAX: usize = 400;
/// Characters shown of one line.
const CHARS_MAX: usize = 1_000;

/// A diff. `href` is where all of it can be read.
pub(super) fn diff(text: &str, href: &str) -> Markup {
    let mut lines = text.lines();
    let shown: Vec<&str> = lines.by_ref().take(LINES_MAX).collect();
    let left = lines.count();
    html! {
        pre.diff tabindex="0" aria-label="change" { @for line in shown { span class=(class(line)) { (clip(line, CHARS_MAX)) "\n" } } }
        @if left > 0 { p.more { (left) " more lines: " a href=(href) { "the whole change" } } }
    }
}

fn class(line: &str) -> &'static str {
    match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] | [b'd', b'i', b'f', b'f', b' ', ..] => "file",
        [b'+', ..] => "add",
        [b'-', ..] => "del",
        [b'@', b'@', ..] => "hunk",
        _ => "ctx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_escaped_and_cut() {
        let html = diff("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-<old>\n+new\n same\n", "/d").into_string();
        for part in [
            r#"<span class="file">--- a/x"#,
            r#"<span class="hunk">@@"#,
            r#"<span class="del">-&lt;old&gt;"#,
            r#"<span class="add">+new"#,
            r#"<span class="ctx"> same"#,
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let long = diff(&"+x\n".repeat(1_000), "/d").into_string();
        assert!(long.contains("600 more lines"));
    }
}
