//! HTTP: the API, the console, health and metrics, over one engine.
//!
//! Routes read and write through [`mb_engine::Engine`] and its store; what a run does next is decided elsewhere.
//! Every route names the right it needs in its signature ([`auth`]), every refusal is a problem with a code
//! ([`problem`]), every list has a limit, every stream a bound, every request a deadline ([`guard`]).
//!
//! Deliberately absent: TLS (a proxy's work), forwarded headers (never read: nobody has said whom to trust), passwords.

pub mod assets;
pub mod auth;
mod console;
mod console_fleet;
mod extract;
pub mod fleet;
pub mod guard;
mod live;
pub mod login;
mod metrics;
mod negotiate;
mod problem;
mod query;
pub mod registry;
mod routes;
mod serve;
mod state;
mod stream;
pub mod tokens;
mod verdict;
pub mod views;
pub mod wire;

pub use routes::{openapi, openapi_json, ops_router, router};
pub use serve::{SHUTDOWN_DEADLINE, ServeError, serve};
pub use state::{AppState, Options};
