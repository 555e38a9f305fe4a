//! Named workflows: versions by content, going back, and many who publish at once. Leaders and their epochs.

use std::collections::BTreeSet;
use std::time::Duration;

use mb_core::id::TenantId;
use mb_core::name::Name;
use mb_core::workflow::Workflow;
use mb_store::{Epoch, Published, StoreError, WorkerRow};

use crate::support::{Home, TENANT, at, suite, worker, workflow};

suite! {
    the_same_document_is_the_same_version,
    going_back_chooses_and_makes_nothing,
    versions_brought_at_once_are_numbered_without_gaps,
    names_and_versions_are_listed_page_by_page,
    one_leads_and_the_next_waits_for_the_end_of_the_lead,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn named(text: &str, steps: &[&str]) -> Workflow {
    Workflow { name: text.into(), ..workflow(steps) }
}

async fn the_same_document_is_the_same_version(Home { store, .. }: Home) {
    let (one, two) = (named("build", &["a"]), named("build", &["a", "b<a"]));
    let publish = |n: u64, document: &Workflow| {
        let (store, document) = (store.clone(), document.clone());
        async move { store.publish_workflow(at(n), TENANT, &name("build"), &document, "ann").await.unwrap() }
    };
    let of = |version, document: &Workflow, existed, was_current| Published {
        version,
        digest: document.digest(),
        existed,
        was_current,
    };
    assert_eq!(publish(1, &one).await, of(1, &one, false, false));
    assert_eq!(publish(2, &one).await, of(1, &one, true, true));
    assert_eq!(publish(3, &two).await, of(2, &two, false, false));
    assert_eq!(publish(4, &one).await, of(1, &one, true, false), "what was brought last is what runs");
    let (row, document) = store.workflow(TENANT, "build", None).await.unwrap().unwrap();
    assert_eq!((row.version, row.created_at, row.chosen), (1, at(1), Some((at(4), "ann".into()))));
    assert_eq!(document, one);

    let other = store.publish_workflow(at(5), TENANT, &name("test"), &two, "ann").await;
    assert!(matches!(&other, Err(StoreError::Invalid { what, .. }) if what.contains("\"build\"")), "{other:?}");
    let stranger = TenantId::from_bytes([9; 16]);
    assert_eq!(store.workflow(stranger, "build", None).await.unwrap(), None);
    let theirs = store.publish_workflow(at(6), stranger, &name("build"), &two, "bob").await.unwrap();
    assert_eq!((theirs.version, theirs.existed), (1, false), "versions are numbered for each tenant");
}

async fn going_back_chooses_and_makes_nothing(Home { store, .. }: Home) {
    let documents = [named("build", &["a"]), named("build", &["b"]), named("build", &["c"])];
    for (n, document) in (1..).zip(&documents) {
        store.publish_workflow(at(n), TENANT, &name("build"), document, "ann").await.unwrap();
    }
    assert!(store.choose_version(at(9), TENANT, &name("build"), 1, "bob").await.unwrap());
    assert!(!store.choose_version(at(9), TENANT, &name("build"), 4, "bob").await.unwrap(), "there is no such version");
    assert!(!store.choose_version(at(9), TENANT, &name("other"), 1, "bob").await.unwrap());
    let (row, document) = store.workflow(TENANT, "build", None).await.unwrap().unwrap();
    assert_eq!((row.version, row.actor.as_str(), row.chosen), (1, "ann", Some((at(9), "bob".into()))));
    assert_eq!(document, documents[0]);
    let versions = store.workflow_versions(TENANT, "build", None, 200).await.unwrap();
    let current: Vec<(u32, bool)> = versions.iter().map(|row| (row.version, row.is_current)).collect();
    assert_eq!(current, [(3, false), (2, false), (1, true)]);
    let (pinned, document) = store.workflow(TENANT, "build", Some(2)).await.unwrap().unwrap();
    assert_eq!((pinned.version, pinned.is_current, document), (2, false, documents[1].clone()));
}

async fn versions_brought_at_once_are_numbered_without_gaps(home: Home) {
    let other = home.again().await;
    let publish = (0..12).map(|n| {
        let store = if n % 2 == 0 { home.store.clone() } else { other.clone() };
        // Each document comes twice.
        let document = named("build", &[&format!("step-{}", n / 2)]);
        tokio::spawn(
            async move { store.publish_workflow(at(n), TENANT, &name("build"), &document, "ann").await.unwrap() },
        )
    });
    let mut versions = BTreeSet::new();
    let mut fresh = 0;
    for handle in publish.collect::<Vec<_>>() {
        let published = handle.await.unwrap();
        versions.insert(published.version);
        fresh += u32::from(!published.existed);
    }
    assert_eq!((versions.into_iter().collect::<Vec<_>>(), fresh), ((1..=6).collect(), 6));
    let rows = home.store.workflow_versions(TENANT, "build", None, 200).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.is_current).count(), 1);
}

async fn names_and_versions_are_listed_page_by_page(Home { store, .. }: Home) {
    for text in ["b", "a", "c"] {
        for step in ["x", "y"] {
            store.publish_workflow(at(1), TENANT, &name(text), &named(text, &[step]), "ann").await.unwrap();
        }
    }
    let page = |after: &'static str| {
        let store = store.clone();
        async move {
            let rows = store.workflows(TENANT, after, 2).await.unwrap();
            rows.into_iter().map(|row| (row.name, row.version)).collect::<Vec<_>>()
        }
    };
    assert_eq!(page("").await, [("a".into(), 2), ("b".into(), 2)]);
    assert_eq!(page("b").await, [("c".into(), 2)]);
    let before = store.workflow_versions(TENANT, "a", Some(2), 10).await.unwrap();
    assert_eq!(before.iter().map(|row| row.version).collect::<Vec<_>>(), [1]);
}

async fn one_leads_and_the_next_waits_for_the_end_of_the_lead(home: Home) {
    let (store, other) = (home.store.clone(), home.again().await);
    let ttl = Duration::from_secs(15);
    let first = store.lead(at(0), "control", worker(1), ttl).await.unwrap().unwrap();
    assert_eq!(first.epoch, Epoch(1));
    assert_eq!(other.lead(at(14), "control", worker(2), ttl).await.unwrap(), None);
    assert_eq!(store.lead(at(14), "control", worker(1), ttl).await.unwrap(), Some(first), "renewed under its number");
    assert_eq!(other.lead(at(28), "control", worker(2), ttl).await.unwrap(), None, "the renewal counts");
    let second = other.lead(at(29), "control", worker(2), ttl).await.unwrap().unwrap();
    assert_eq!(second.epoch, Epoch(2));
    assert_eq!(store.lead(at(30), "control", worker(1), ttl).await.unwrap(), None);
    assert!(!store.resign(at(30), first).await.unwrap(), "it is not theirs to give up");
    assert!(other.resign(at(31), second).await.unwrap());
    let third = store.lead(at(31), "control", worker(1), ttl).await.unwrap().unwrap();
    assert_eq!(third.epoch, Epoch(3));
    let late = store.lead(at(99), "control", worker(1), ttl).await.unwrap().unwrap();
    assert_eq!(late.epoch, Epoch(4), "whoever comes back too late is somebody new");
    let elsewhere = store.lead(at(99), "other", worker(2), ttl).await.unwrap().unwrap();
    assert_eq!(elsewhere.epoch, Epoch(1), "each name has its own");
    assert_eq!(store.leaders().await.unwrap().len(), 2);

    // The lock of a node proves its earlier processes dead: nobody need wait for the end of their lead.
    let seen = |n| WorkerRow {
        id: worker(n),
        node: "here".into(),
        pid: 1,
        version: "1".into(),
        roles: BTreeSet::new(),
        slots: [].into(),
        affinity: None,
        started_at: at(99),
        state: "running".into(),
    };
    for n in [1, 5] {
        store.worker_seen(at(99), &seen(n)).await.unwrap();
    }
    assert_eq!(store.resign_node(at(100), "elsewhere", worker(5)).await.unwrap(), 0);
    assert_eq!(store.resign_node(at(100), "here", worker(1)).await.unwrap(), 0, "not one's own");
    assert_eq!(store.resign_node(at(100), "here", worker(5)).await.unwrap(), 1);
    let fifth = store.lead(at(100), "control", worker(5), ttl).await.unwrap().unwrap();
    assert_eq!(fifth.epoch, Epoch(5));

    // Many who ask at once: one gets it.
    let ask = (10..20).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move { store.lead(at(200), "race", worker(n), ttl).await.unwrap() })
    });
    let mut leads = Vec::new();
    for handle in ask.collect::<Vec<_>>() {
        leads.extend(handle.await.unwrap());
    }
    assert_eq!(leads.iter().map(|lead| lead.epoch).collect::<Vec<_>>(), [Epoch(1)]);
}
