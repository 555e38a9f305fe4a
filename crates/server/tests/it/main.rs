//! The server as a service: requests in, answers out, over a real store, without sockets.

mod access;
mod answers;
mod fixture;
mod fleet;
mod getting_in;
mod pages;
mod registry;
mod streams;
mod support;
mod workflows;
