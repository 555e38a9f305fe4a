//! One address, four readers: HTML, JSON, Markdown and plain text, by the `Accept` header.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

/// A form an answer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Json,
    Markdown,
    Text,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html",
            Self::Json => "application/json",
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
        }
    }

    /// The best of `offered` (the first is the default) for a request.
    pub(crate) fn best(headers: &HeaderMap, offered: &[Form]) -> Form {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        let quality = |form: Form| quality(accept, form.media_type());
        let default = offered.first().copied().unwrap_or(Form::Json);
        offered.iter().copied().fold(default, |best, form| if quality(form) > quality(best) { form } else { best })
    }

    /// A body in this form. The same address has other forms, so caches must look at `Accept`.
    pub(crate) fn body(self, body: impl Into<axum::body::Body>) -> Response {
        let media_type = match self {
            Self::Json => HeaderValue::from_static("application/json"),
            Self::Html => HeaderValue::from_static("text/html; charset=utf-8"),
            Self::Markdown => HeaderValue::from_static("text/markdown; charset=utf-8"),
            Self::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
        };
        let headers = [(CONTENT_TYPE, media_type), (VARY, HeaderValue::from_static("accept"))];
        (headers, body.into()).into_response()
    }
}

/// The quality, in thousandths, that an `Accept` header gives a media type: its most exact range decides.
fn quality(accept: &str, media_type: &str) -> u16 {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let exactness = |range: &str| match range {
        range if range.eq_ignore_ascii_case(media_type) => Some(3),
        range if range.strip_suffix("/*").is_some_and(|k| k.eq_ignore_ascii_case(kind)) => Some(2),
        "*/*" | "*" => Some(1),
        _ => None,
    };
    let ranges = accept.split(',').take(32).filter_map(|part| {
        let mut parameters = part.split(';').map(str::trim);
        let exact = exactness(parameters.next()?)?;
        let q = parameters.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        Some((exact, (q.clamp(0.0, 1.0) * 1000.0) as u16))
    });
    ranges.max_by_key(|(exact, _)| *exact).map_or(0, |(_, q)| q)
}

/// The forms a console page has, best one chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted(pub(crate) Form);

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Wanted(Form::best(&parts.headers, &[Form::Html, Form::Json, Form::Markdown, Form::Text])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_range_decides_and_the_first_form_is_the_default() {
        let all = [Form::Html, Form::Json, Form::Markdown, Form::Text];
        let check = |accept: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header"));
            assert_eq!(Form::best(&headers, &all), expected, "{accept}");
        };
        check("*/*", Form::Html);
        check("application/json", Form::Json);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Form::Html);
        check("text/markdown, text/plain;q=0.5", Form::Markdown);
        check("text/plain", Form::Text);
        check("text/*;q=0.4, application/json;q=0.9", Form::Json);
        check("text/html;q=0, */*", Form::Json);
        check("image/png", Form::Html);
        check("garbage;;q=x,,", Form::Html);
        assert_eq!(Form::best(&HeaderMap::new(), &[Form::Json, Form::Text]), Form::Json);
    }
}
