//! Tokens, one-time logins and sessions.

use std::collections::BTreeSet;

use mb_core::id::{TenantId, TokenId};
use mb_store::{SessionRow, StoreError, TokenRow};

use crate::support::{Home, TENANT, at, suite};

suite! {
    a_token_lives_from_its_making_to_its_revocation,
    a_login_is_redeemed_by_exactly_one,
    a_session_ends,
}

async fn a_token_lives_from_its_making_to_its_revocation(Home { store, .. }: Home) {
    let token = TokenRow {
        id: TokenId::from_bytes([1; 16]),
        tenant: TENANT,
        name: "ci".into(),
        hash: [7; 32],
        scopes: BTreeSet::from(["runs:read".to_owned(), "meta:read".to_owned()]),
        created_at: at(0),
        expires_at: Some(at(100)),
        last_used_at: None,
        revoked_at: None,
    };
    store.token_add(&token).await.unwrap();
    let same_secret = TokenRow { id: TokenId::from_bytes([2; 16]), ..token.clone() };
    assert!(matches!(store.token_add(&same_secret).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.token_by_hash(&[7; 32]).await.unwrap(), Some(token.clone()));
    assert_eq!(store.token_by_hash(&[8; 32]).await.unwrap(), None);

    assert!(store.token_used(at(10), &token).await.unwrap());
    assert!(!store.token_used(at(69), &token).await.unwrap(), "at most once a minute, whatever the caller knows");
    assert!(store.token_used(at(70), &token).await.unwrap());

    let stranger = TenantId::from_bytes([9; 16]);
    assert!(!store.token_revoke(at(80), stranger, token.id).await.unwrap());
    assert!(store.token_revoke(at(80), TENANT, token.id).await.unwrap());
    assert!(!store.token_revoke(at(81), TENANT, token.id).await.unwrap());
    let expected = TokenRow { last_used_at: Some(at(70)), revoked_at: Some(at(80)), ..token };
    assert_eq!(store.tokens(TENANT).await.unwrap(), [expected]);
    assert!(store.tokens(stranger).await.unwrap().is_empty());
}

async fn a_login_is_redeemed_by_exactly_one(home: Home) {
    let (store, other) = (home.store.clone(), home.again().await);
    store.login_add(&[1; 32], at(100)).await.unwrap();
    store.login_add(&[2; 32], at(100)).await.unwrap();
    let tries = (0..20).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move { store.login_redeem(at(99), &[1; 32]).await.unwrap() })
    });
    let mut redeemed = 0;
    for handle in tries.collect::<Vec<_>>() {
        redeemed += u32::from(handle.await.unwrap());
    }
    assert_eq!(redeemed, 1);
    assert!(!store.login_redeem(at(100), &[2; 32]).await.unwrap(), "too late");
    assert!(!store.login_redeem(at(1), &[3; 32]).await.unwrap(), "never made");
}

async fn a_session_ends(Home { store, .. }: Home) {
    let session = |n: u8, from: u64| SessionRow {
        hash: [n; 32],
        tenant: TENANT,
        scopes: BTreeSet::from(["admin".to_owned()]),
        created_at: at(from),
        expires_at: at(from + 100),
    };
    store.session_add(&session(1, 0)).await.unwrap();
    store.session_add(&session(2, 50)).await.unwrap();
    assert_eq!(store.session_by_hash(at(99), &[1; 32]).await.unwrap(), Some(session(1, 0)));
    assert_eq!(store.session_by_hash(at(100), &[1; 32]).await.unwrap(), None);
    store.session_add(&session(3, 120)).await.unwrap();
    assert!(!store.session_end(&[1; 32]).await.unwrap(), "what had ended was forgotten");
    assert!(store.session_end(&[2; 32]).await.unwrap());
    assert_eq!(store.session_by_hash(at(121), &[2; 32]).await.unwrap(), None);
}
