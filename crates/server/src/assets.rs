//! The console's files, embedded, and named by their content so that a browser may keep them for ever.
//!
//! `htmx.min.js` and `hx-sse.min.js` are htmx 4.0.1 as published (0BSD, `assets/htmx-LICENSE.txt`); the rest is ours.

use std::sync::LazyLock;

use mb_core::workflow::hex;
use sha2::{Digest, Sha256};

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    url: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let css = "text/css; charset=utf-8";
    let js = "text/javascript; charset=utf-8";
    vec![
        asset("app.css", css, include_bytes!("../assets/app.css")),
        asset("app.js", js, include_bytes!("../assets/app.js")),
        asset("htmx.min.js", js, include_bytes!("../assets/htmx.min.js")),
        asset("hx-sse.min.js", js, include_bytes!("../assets/hx-sse.min.js")),
        asset("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
    ]
});

fn asset(name: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Asset {
    let hash = hex(&Sha256::digest(bytes));
    Asset { name, media_type, bytes, url: format!("/assets/{}/{name}", &hash[..16]) }
}

/// The address of a file; its own address changes with its content.
pub(crate) fn url(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map(|asset| asset.url.as_str()).expect("pages name embedded files only")
}

impl Asset {
    /// Where it is served.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Every file.
pub fn all() -> &'static [Asset] {
    &ASSETS
}

/// The file at an address.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.url == path)
}
