//! Opening, migrating, closing: each mistake has its own error, and a newer schema is refused.

use std::time::Duration;

use mb_store::{MigrateError, OpenError, SchemaState, Store, StoreError, StoreOptions, StoreUrl};

use crate::support::{Home, TENANT, at, claim, migrations, new_run, run_id, suite};

suite! {
    migrations_are_applied_once_and_a_newer_schema_is_refused,
    an_altered_migration_is_noticed,
    writing_is_probed,
    a_closed_store_says_so,
    a_verb_nobody_waits_for_any_more_leaves_nothing_behind,
}

async fn migrations_are_applied_once_and_a_newer_schema_is_refused(home: Home) {
    let store = &home.store;
    assert_eq!(store.schema().await.unwrap(), SchemaState::Current);
    assert!(store.migrate(at(1)).await.unwrap().is_empty());
    home.raw("DELETE FROM mb_migrations; INSERT INTO mb_migrations VALUES ('9999_later', 'x', 1)").await;
    assert_eq!(store.schema().await.unwrap(), SchemaState::Ahead(vec!["9999_later".into()]));
    let refused = store.migrate(at(2)).await;
    assert!(matches!(&refused, Err(MigrateError::Ahead { names }) if names == &["9999_later"]), "{refused:?}");
    home.raw("DELETE FROM mb_migrations").await;
    assert_eq!(store.schema().await.unwrap(), SchemaState::Pending(migrations()));
    home.raw("DROP TABLE mb_migrations").await;
    assert_eq!(store.schema().await.unwrap(), SchemaState::Pending(migrations()));
}

async fn an_altered_migration_is_noticed(home: Home) {
    home.raw("UPDATE mb_migrations SET checksum = 'x' WHERE name = '0001_init'").await;
    let refused = home.store.migrate(at(2)).await;
    assert!(matches!(&refused, Err(MigrateError::Altered { name }) if name == "0001_init"), "{refused:?}");
    assert!(matches!(home.store.schema().await, Err(StoreError::Corrupt { .. })));
}

async fn writing_is_probed(home: Home) {
    home.store.check_write(at(1)).await.unwrap();
    home.store.check_write(at(2)).await.unwrap();
    let pool = home.store.pool();
    assert!(pool.open >= 1 && pool.open <= pool.max, "{pool:?}");
    home.raw("DROP TABLE probes").await;
    let missing = home.store.check_write(at(3)).await;
    assert!(matches!(missing, Err(StoreError::Schema { .. })), "{missing:?}");
    assert!(!missing.unwrap_err().is_transient());
}

async fn a_closed_store_says_so(home: Home) {
    let store = home.again().await;
    store.close().await;
    for result in [store.check_write(at(1)).await, store.run_counts(TENANT).await.map(drop)] {
        assert!(matches!(result, Err(StoreError::Unavailable { retryable: false, .. })), "{result:?}");
    }
}

/// The caller of a verb may stop waiting at any point of it; the next verb finds either all of it or nothing.
async fn a_verb_nobody_waits_for_any_more_leaves_nothing_behind(home: Home) {
    for n in 0..60 {
        let create = home.store.create_run(at(n), new_run(n, at(n), &["a", "b"]));
        let cut = tokio::time::timeout(Duration::from_micros(150 * n), create).await;
        let run = home.store.run(TENANT, run_id(n)).await.unwrap();
        assert!(cut.is_err() || run.is_some(), "what was acknowledged is there");
    }
    let stored = home.store.run_counts(TENANT).await.unwrap().get("pending").copied().unwrap_or(0);
    let mut tasks = 0;
    for _ in 0..10 {
        tasks += home.store.claim(at(99), &claim(1, 100)).await.unwrap().len() as u64;
    }
    assert_eq!(tasks, 2 * stored);
    assert_eq!(home.store.last_seq().await.unwrap() as u64, 3 * stored + 2 * tasks - stored);
}

async fn open(url: StoreUrl) -> Result<Store, OpenError> {
    let options = StoreOptions { acquire_timeout: Duration::from_secs(5), ..StoreOptions::default() };
    Store::open(&url, options).await
}

#[tokio::test]
async fn a_file_and_its_folder_are_made_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite().await;
    home.store.check_write(at(0)).await.unwrap();
    let StoreUrl::Sqlite(path) = &home.url else { unreachable!() };
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path), mode(path.parent().unwrap())), (0o600, 0o700));
    let log = path.with_extension("db-wal");
    assert_eq!(mode(&log), 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to have a header of a hundred bytes ".repeat(20)).unwrap();
    let refused = open(StoreUrl::Sqlite(path.clone())).await;
    assert!(matches!(&refused, Err(OpenError::NotADatabase { path: named, .. }) if *named == path), "{refused:?}");
    let folder = open(StoreUrl::Sqlite(folder.path().to_owned())).await;
    assert!(matches!(folder, Err(OpenError::NotADatabase { .. })), "{folder:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_has_refused() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = open(format!("postgres://u:secret@127.0.0.1:{port}/d").parse().unwrap()).await;
    let Err(error @ OpenError::Refused { .. }) = refused else { panic!("{refused:?}") };
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let Some(home) = Home::postgres().await else { return };
    let StoreUrl::Postgres(url) = &home.url else { unreachable!() };
    let (address, settings) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = address.rsplit_once('/').unwrap();
    let missing = open(StoreUrl::Postgres(format!("{server}/mb_no_such_database?{settings}"))).await;
    assert!(
        matches!(&missing, Err(OpenError::NoSuchDatabase { database, .. }) if database == "mb_no_such_database"),
        "{missing:?}"
    );
    home.drop_schema().await;
}

#[tokio::test]
async fn a_schema_name_is_not_sql() {
    let options = StoreOptions { pg_schema: Some("x; DROP SCHEMA public".into()), ..StoreOptions::default() };
    let refused = Store::open(&"postgres://u@127.0.0.1/d".parse().unwrap(), options).await;
    assert!(matches!(refused, Err(OpenError::Settings { .. })), "{refused:?}");
}

#[tokio::test]
async fn two_stores_make_one_file_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("mb.db"));
    let make = (0..6).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = open(url).await.unwrap();
            store.migrate(at(0)).await.unwrap().len()
        })
    });
    let mut applied = 0;
    for handle in make.collect::<Vec<_>>() {
        applied += handle.await.unwrap();
    }
    assert_eq!(applied, migrations().len(), "each migration by one of them");
}
