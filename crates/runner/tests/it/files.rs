//! Snapshots, worktrees and differences, over a repository, a plain folder and a repository without git: one behaviour.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use mb_runner::{Patch, PatchKind, PatchLimits, Project, ProjectError};

use crate::support::{Bench, git, sh, write_all};

/// Changes of every kind that is text.
fn change(root: &Path) {
    let long: String = (0..50).map(|n| format!("{n}\n")).collect();
    write_all(root, &[("keep", &long.replace("\n7\n", "\nseven\n").replace("48\n", "")), ("sp ace/new", "x")]);
    write_all(root, &[("empty", ""), ("t\ta\"b\\é", "1\n"), ("end", "no line end\n"), ("into", "a\rb\r\n")]);
    fs::remove_file(root.join("gone")).unwrap();
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("link")).unwrap();
    symlink("keep", root.join("link")).unwrap();
    fs::remove_file(root.join("becomes")).unwrap();
    symlink("run.sh", root.join("becomes")).unwrap();
}

fn start(root: &Path) {
    let long: String = (0..50).map(|n| format!("{n}\n")).collect();
    write_all(root, &[("keep", &long), ("gone", "x\n"), ("run.sh", "#!/bin/sh\n"), ("end", "no line end")]);
    write_all(root, &[("becomes", "file\n"), ("into", "a\n"), (".gitignore", "ignored\n"), ("ignored", "i\n")]);
    symlink("gone", root.join("link")).unwrap();
}

/// Every file with what it is, but our own and git's.
fn listing(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".git") {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                left.push(entry.path());
                continue;
            }
            let content = match fs::read_link(entry.path()) {
                Ok(to) => format!("-> {}", to.display()),
                Err(_) => format!("{:o} {:?}", meta.permissions().mode() & 0o100, fs::read(entry.path()).unwrap()),
            };
            lines.push(format!("{}: {content}\n", entry.path().strip_prefix(root).unwrap().display()));
        }
    }
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn differences_are_the_same_either_way_and_fit_each_others_files() {
    let benches = Bench::every_way(&[("same", "1\n")]).await;
    let mut patches = Vec::new();
    for (name, bench) in &benches {
        start(bench.root());
        let snapshot = bench.snapshot().await;
        let tree = bench.worktree_of(&snapshot, &[], &[]).await;
        change(tree.path());
        write_all(tree.path(), &[("ignored", "i\n")]);
        let patch = tree.diff(PatchLimits::default()).await.unwrap();
        let mut paths: Vec<_> = patch.files.iter().map(|file| file.path.clone()).collect();
        // A file that becomes a link is two entries of a difference.
        paths.dedup();
        assert_eq!(paths, tree.changed_files().await.unwrap(), "{name}");
        patches.push((listing(tree.path()), patch));
    }
    let kinds = |patch: &Patch| patch.files.clone();
    let (expected, first) = patches[0].clone();
    for (after, patch) in &patches {
        assert_eq!((after, kinds(patch)), (&expected, kinds(&first)));
        for (name, bench) in &benches {
            let snapshot = bench.snapshot().await;
            let tree = bench.worktree_of(&snapshot, std::slice::from_ref(patch), &[]).await;
            write_all(tree.path(), &[("ignored", "i\n")]);
            assert_eq!(listing(tree.path()), expected, "{name}");
            assert!(tree.diff(PatchLimits::default()).await.unwrap().is_empty(), "patches are part of the beginning");
        }
    }
    for ((name, bench), (_, patch)) in benches.iter().zip(&patches) {
        bench.project.apply_to_source(std::slice::from_ref(patch)).await.unwrap();
        assert_eq!(listing(bench.root()), expected, "{name}");
    }
}

#[tokio::test]
async fn a_snapshot_is_frozen_and_named_by_its_content() {
    for (name, bench) in Bench::every_way(&[("a", "1\n"), (".gitignore", "out/\n"), ("out/x", "x\n")]).await {
        let first = bench.snapshot().await;
        write_all(bench.root(), &[("a", "2\n"), ("b", "new\n")]);
        let second = bench.snapshot().await;
        write_all(bench.root(), &[("a", "1\n")]);
        fs::remove_file(bench.root().join("b")).unwrap();
        assert_eq!(bench.snapshot().await.tree, first.tree, "{name}");
        assert_ne!(first.tree, second.tree, "{name}");
        let tree = bench.worktree_of(&second, &[], &[]).await;
        assert_eq!(
            bench.run_in(&tree, sh("cat a b; ls -A | grep -v '^.git$'")).await.ok(),
            "2\nnew\n.gitignore\na\nb\n"
        );
    }
}

#[tokio::test]
async fn build_products_are_in_no_snapshot_and_no_difference() {
    let files = [("a", "1\n"), ("web/src", "s\n"), ("kept/tracked", "t\n")];
    for (name, bench) in Bench::every_way(&files).await {
        write_all(bench.root(), &[("target/debug/old", "o\n"), ("lib/__pycache__/m.pyc", "p\n"), ("new", "n\n")]);
        let caches = ["target", "web/node_modules", "missing"];
        let snapshot = bench.snapshot_without(&caches).await;
        let tree = bench.worktree_of(&snapshot, &[], &caches).await;
        let ran = bench.run_in(&tree, sh("cat target/debug/old new; ls lib 2>/dev/null || echo none")).await;
        assert_eq!(ran.ok(), "o\nn\nnone\n", "{name}: a cache is carried beside the snapshot, droppings are not");
        let drop = "mkdir -p target web/node_modules/x missing lib/__pycache__ web/.mypy_cache; \
                    for f in target/t web/node_modules/x/i missing/m lib/__pycache__/m.pyc web/.mypy_cache/c; \
                    do echo x > $f; done; ";
        bench.run_in(&tree, sh(&format!("{drop} echo 2 > a"))).await.ok();
        assert_eq!(tree.changed_files().await.unwrap(), ["a"], "{name}");
    }
    // What version control knows stays, whatever the folder is called.
    let bench = Bench::git(&[("target/tracked", "1\n")]).await;
    write_all(bench.root(), &[("target/tracked", "2\n"), ("target/not", "x\n")]);
    let tree = bench.worktree(&[], &["target"]).await;
    assert!(tree.notes().iter().any(|note| note.contains("under version control")), "{:?}", tree.notes());
    assert_eq!(bench.run_in(&tree, sh("cat target/*; echo 3 > target/tracked; echo 3 > target/n")).await.ok(), "2\n");
    assert_eq!(tree.changed_files().await.unwrap(), ["target/tracked"]);
}

#[tokio::test]
async fn applying_to_the_users_files_is_all_or_nothing() {
    for (name, bench) in Bench::every_way(&[("a", "1\n"), ("b", "1\n")]).await {
        let root = bench.root().to_owned();
        let snapshot = bench.snapshot().await;
        let tree = bench.worktree_of(&snapshot, &[], &[]).await;
        write_all(tree.path(), &[("a", "2\n"), ("b", "2\n")]);
        let first = tree.diff(PatchLimits::default()).await.unwrap();
        let tree = bench.worktree_of(&snapshot, std::slice::from_ref(&first), &[]).await;
        write_all(tree.path(), &[("a", "3\n")]);
        let second = tree.diff(PatchLimits::default()).await.unwrap();
        write_all(&root, &[("b", "user\n")]);
        let refused = bench.project.apply_to_source(&[first.clone(), second.clone()]).await.unwrap_err();
        assert!(matches!(&refused, ProjectError::Conflict { file, .. } if file == "b"), "{name}: {refused:?}");
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "1\n", "{name}");
        write_all(&root, &[("b", "1\n")]);
        bench.project.apply_to_source(&[first, second]).await.unwrap();
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "3\n", "{name}");
    }
}

#[tokio::test]
async fn limits_and_bad_patches_are_refused_with_a_reason() {
    for (name, bench) in Bench::every_way(&[("a", "1\n")]).await {
        let tree = bench.worktree(&[], &[]).await;
        write_all(tree.path(), &[("b", &"x\n".repeat(1000)), ("c", "1\n")]);
        let small = tree.diff(PatchLimits { bytes_max: 500, files_max: 10 }).await.unwrap_err();
        assert!(matches!(small, ProjectError::PatchTooLarge { limit: 500, .. }), "{name}: {small:?}");
        let few = tree.diff(PatchLimits { files_max: 1, ..PatchLimits::default() }).await.unwrap_err();
        assert!(matches!(few, ProjectError::PatchTooLarge { limit: 1, .. }), "{name}: {few:?}");
        let outside = "diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n";
        let outside = Patch::parse(outside.into()).unwrap();
        assert!(tree.apply(&outside).await.is_err(), "{name}");
        assert!(!tree.path().parent().unwrap().join("x").exists(), "{name}");
    }
}

#[tokio::test]
async fn without_git_what_is_not_text_is_refused_and_there_is_no_branch() {
    let bench = Bench::plain(&[("a", "1\n")]).await;
    assert!(!bench.project.is_git());
    let snapshot = bench.snapshot().await;
    let tree = bench.worktree_of(&snapshot, &[], &[]).await;
    bench.run_in(&tree, sh("printf '\\000\\001' > bin; git rev-parse 2>/dev/null; true")).await.ok();
    let refused = tree.diff(PatchLimits::default()).await.unwrap_err();
    assert!(matches!(&refused, ProjectError::Binary { file } if file == "bin"), "{refused:?}");
    let refused = bench.project.publish_branch(&snapshot, "x", &[]).await.unwrap_err();
    assert!(matches!(refused, ProjectError::NoRepository));
    assert!(!bench.root().join(".git").exists());
}

#[tokio::test]
async fn a_repository_is_found_from_a_folder_of_it_and_from_a_linked_worktree() {
    let bench = Bench::git(&[("sub/f", "1\n")]).await;
    let linked = bench.dir.path().join("linked");
    git(bench.root(), &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    git(bench.root(), &["pack-refs", "--all"]);
    let head = git(bench.root(), &["rev-parse", "HEAD"]);
    for root in [bench.root().join("sub"), linked] {
        let project = Project::open(&root).await.unwrap();
        assert!(project.is_git(), "{root:?}");
        assert_eq!(project.head().await.as_deref(), Some(head.trim()), "{root:?}");
    }
    let kind = |patch: &Patch| patch.files[0].kind;
    let tree = bench.worktree(&[], &[]).await;
    write_all(tree.path(), &[("sub/g", "")]);
    assert_eq!(kind(&tree.diff(PatchLimits::default()).await.unwrap()), PatchKind::Added);
}

#[tokio::test]
async fn what_needed_steps_did_is_no_part_of_a_difference_and_it_fits_the_snapshot() {
    for (name, bench) in Bench::every_way(&[("lock", "1\n2\n"), ("gone", "g\n"), ("src", "s\n")]).await {
        let snapshot = bench.snapshot().await;
        let mut tree = bench.worktree_of(&snapshot, &[], &[]).await;
        let needed = "echo 2 > lock; rm gone; mkdir -p 'new [1]'; echo n > 'new [1]/made #'";
        bench.run_in(&tree, sh(needed)).await.ok();
        tree.settle().await.unwrap();
        assert!(tree.changed_files().await.unwrap().is_empty(), "{name}");
        let repair = "cat lock 'new [1]/made #'; echo 3 >> lock; echo 3 >> src; echo 3 >> 'new [1]/made #'";
        assert_eq!(bench.run_in(&tree, sh(repair)).await.ok(), "1\n2\nn\n", "{name}");
        let patch = tree.diff(PatchLimits::default()).await.unwrap();
        assert_eq!(patch.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["lock", "src"], "{name}");
        let next = bench.worktree_of(&snapshot, std::slice::from_ref(&patch), &[]).await;
        assert_eq!(fs::read_to_string(next.path().join("lock")).unwrap(), "1\n2\n3\n", "{name}");
    }
}
