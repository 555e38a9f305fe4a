//! `mb token`: API tokens. A secret is shown once, by the command that made it.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};
use mb_api::NewToken;
use mb_core::id::{TenantId, TokenId};
use mb_core::scope::Scope;

use crate::access::{Access, remote};
use crate::args::{Global, TokenCommand};
use crate::commands::runs::table;
use crate::exit::{Exit, Failure};

pub(crate) async fn run(global: &Global, command: &TokenCommand) -> Result<Exit, Failure> {
    let access = Access::open(global).await?;
    match command {
        TokenCommand::Ls => ls(global, &access).await,
        TokenCommand::Add { name, scope, expires } => add(global, &access, name, scope, *expires).await,
        TokenCommand::Revoke { token } => revoke(&access, token).await,
    }
}

async fn ls(global: &Global, access: &Access) -> Result<Exit, Failure> {
    let tokens = match access {
        Access::Remote(client) => client.tokens().await.map_err(remote)?.items,
        Access::Local(engine) => {
            let rows = engine.store().tokens(TenantId::DEFAULT).await.context("tokens cannot be read")?;
            rows.iter().map(mb_server::wire::token).collect()
        }
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&tokens)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["TOKEN", "NAME", "SCOPES", "LAST USED", "STATE"]);
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let used = token.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let state = if token.revoked_at.is_some() { "revoked" } else { "active" };
        table.add_row(vec![token.id.to_string(), token.name, scopes.join(" "), used, state.to_owned()]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

async fn add(
    global: &Global,
    access: &Access,
    name: &str,
    scopes: &[String],
    expires: Option<u32>,
) -> Result<Exit, Failure> {
    let scopes = scopes
        .iter()
        .map(|word| {
            Scope::from_word(word).ok_or_else(|| {
                let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
                Failure::new(Exit::Usage, anyhow!("{word:?} is not a scope; the scopes are {}", known.join(", ")))
            })
        })
        .collect::<Result<BTreeSet<Scope>, Failure>>()?;
    let wish = NewToken { name: name.to_owned(), scopes, expires_in_s: expires.map(|days| u64::from(days) * 86_400) };
    let secret = match access {
        Access::Remote(client) => client.add_token(&wish).await.map_err(remote)?,
        Access::Local(engine) => {
            mb_server::tokens::create(engine, TenantId::DEFAULT, &wish).await.context("the token cannot be stored")?
        }
    };
    if global.json {
        println!("{}", serde_json::to_string_pretty(&secret)?);
    } else {
        println!("{}", secret.secret);
        anstream::eprintln!("{} made; it is shown this once", secret.token.id);
    }
    Ok(Exit::Ok)
}

async fn revoke(access: &Access, token: &str) -> Result<Exit, Failure> {
    let id: TokenId =
        token.parse().map_err(|e: mb_core::id::BadId| Failure::new(Exit::Usage, e).mend("mb token ls"))?;
    match access {
        Access::Remote(client) => client.revoke_token(id).await.map_err(remote)?,
        Access::Local(engine) => {
            let now = engine.env().now();
            if !engine.store().token_revoke(now, TenantId::DEFAULT, id).await.context("the token cannot be revoked")? {
                return Err(Failure::new(Exit::NotFound, anyhow!("there is no token {id}")).mend("mb token ls"));
            }
        }
    }
    anstream::eprintln!("{id} is revoked");
    Ok(Exit::Ok)
}
