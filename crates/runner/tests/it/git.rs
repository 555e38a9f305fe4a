//! What only a repository has: commits, branches and commands that ask git. The user's own stays as it was.

use std::fs;

use mb_runner::{PatchKind, PatchLimits, Project, ProjectError};

use crate::support::{Bench, git, sh, state, until, write_all};

#[tokio::test]
async fn a_snapshot_takes_everything_but_ignored_and_touches_nothing() {
    let bench = Bench::git(&[("a", "1\n"), ("gone", "x\n"), (".gitignore", "ignored\n")]).await;
    let root = bench.root().to_owned();
    write_all(&root, &[("a", "2\n"), ("new/file", "n\n"), ("ignored", "i\n"), ("staged", "s\n")]);
    git(&root, &["add", "staged"]);
    fs::remove_file(root.join("gone")).unwrap();
    let before = state(&root);
    let snapshot = bench.snapshot().await;
    write_all(&root, &[("a", "3\n")]);
    let tree = bench.worktree_of(&snapshot, &[], &[]).await;
    let read = |name: &str| fs::read_to_string(tree.path().join(name)).ok();
    assert_eq!(read("a").as_deref(), Some("2\n"));
    assert_eq!(read("new/file").as_deref(), Some("n\n"));
    assert_eq!(read("staged").as_deref(), Some("s\n"));
    assert_eq!((read("ignored"), read("gone")), (None, None));
    write_all(&root, &[("a", "2\n")]);
    assert_eq!(state(&root), before);
    assert_eq!(bench.snapshot().await.tree, snapshot.tree);
}

#[tokio::test]
async fn git_inside_answers_as_outside_and_cannot_reach_the_repository() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    let root = bench.root().to_owned();
    git(&root, &["tag", "-a", "v1", "-m", "one"]);
    write_all(&root, &[("b", "2\n")]);
    let (head, before) = (git(&root, &["rev-parse", "HEAD"]), state(&root));
    for level in [mb_runner::SandboxLevel::Bubblewrap, mb_runner::SandboxLevel::Landlock] {
        let ask = sh("git rev-parse HEAD && git describe && git status --porcelain && git diff --exit-code \
                      && git log --oneline | wc -l")
        .at(level);
        assert_eq!(bench.run(ask).await.ok(), format!("{head}v1\nA  b\n1\n"), "{level}");
        let ask = sh("echo x >> a && git -c user.name=x -c user.email=x commit -qam evil && git branch evil \
                      && git config core.hooksPath /evil && git tag -d v1 && git gc -q; git reset -q --hard HEAD~1; \
                      git log --oneline | wc -l")
        .at(level);
        assert_eq!(
            bench.run(ask).await.ok(),
            format!("Deleted tag 'v1' (was {})\n1\n", git(&root, &["rev-parse", "--short", "v1"]).trim()),
            "{level}"
        );
        assert_eq!(state(&root), before, "{level}");
    }
    git(&root, &["fsck", "--strict"]);
}

#[tokio::test]
async fn a_difference_survives_the_way_into_another_worktree_and_a_branch() {
    let latin = [b"caf\xe9\n".as_slice(), b"end\n"].concat();
    let bench = Bench::git(&[("keep", "1\n2\n3\n"), ("gone", "x\n"), ("run.sh", "#!/bin/sh\n")]).await;
    let root = bench.root().to_owned();
    fs::write(root.join("latin"), &latin).unwrap();
    let snapshot = bench.snapshot().await;
    let tree = bench.worktree_of(&snapshot, &[], &[]).await;
    let ask = sh("echo 4 >> keep; rm gone; chmod +x run.sh; echo new > 'sp ace'; printf '\\000\\001' > bin; \
                  printf 'caf\\351!\\n' >> latin");
    bench.run_in(&tree, ask).await.ok();
    assert_eq!(tree.changed_files().await.unwrap(), ["bin", "gone", "keep", "latin", "run.sh", "sp ace"]);
    let patch = tree.diff(PatchLimits::default()).await.unwrap();
    let kinds: Vec<_> = patch.files.iter().map(|f| (f.path.as_str(), f.kind)).collect();
    let expected = [
        ("bin", PatchKind::Added),
        ("gone", PatchKind::Deleted),
        ("keep", PatchKind::Modified),
        ("latin", PatchKind::Modified),
        ("run.sh", PatchKind::Mode),
        ("sp ace", PatchKind::Added),
    ];
    assert_eq!(kinds, expected);
    let second = bench.worktree_of(&snapshot, std::slice::from_ref(&patch), &[]).await;
    assert!(second.diff(PatchLimits::default()).await.unwrap().is_empty(), "patches are part of the beginning");
    assert_eq!(fs::read(second.path().join("latin")).unwrap(), [&latin, b"caf\xe9!\n".as_slice()].concat());
    assert_eq!(fs::read(second.path().join("bin")).unwrap(), [0, 1]);
    let before = state(&root);
    let tip = bench.project.publish_branch(&snapshot, "mb/fix", &[(patch, "Fix it".into())]).await.unwrap();
    git(&root, &["diff", "--exit-code", "HEAD", "--", "keep", "gone"]);
    assert_eq!(git(&root, &["show", "mb/fix:keep"]), "1\n2\n3\n4\n");
    let log = git(&root, &["log", "--format=%s", "mb/fix"]);
    assert_eq!(log, "Fix it\nUncommitted changes when the run began\nfirst\n");
    git(&root, &["branch", "-D", "mb/fix"]);
    assert_eq!(state(&root), before);
    assert_eq!(tip.len(), 40);
}

#[tokio::test]
async fn a_folder_of_a_repository_is_that_repository_with_its_own_start() {
    let bench = Bench::git(&[("sub/dir/f", "1\n"), ("top", "t\n")]).await;
    let root = bench.root().join("sub/dir");
    let bench = Bench::over(bench.dir, &root).await;
    let tree = bench.worktree(&[], &[]).await;
    let ran = bench.run_in(&tree, sh("pwd && cat f ../../top && git rev-parse --show-prefix && echo 2 > f")).await;
    assert_eq!(ran.ok(), format!("{}\n1\nt\nsub/dir/\n", root.display()));
    assert_eq!(tree.changed_files().await.unwrap(), ["sub/dir/f"]);
}

#[tokio::test]
async fn odd_repositories_work() {
    // No commit yet.
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("fresh");
    write_all(&root, &[("a", "1\n")]);
    git(&root, &["init", "-q"]);
    let bench = Bench::over(dir, &root).await;
    assert_eq!(bench.project.head().await, None);
    let tree = bench.worktree(&[], &[]).await;
    write_all(tree.path(), &[("a", "2\n")]);
    let patch = tree.diff(PatchLimits::default()).await.unwrap();
    assert_eq!(bench.run(sh("git status --porcelain")).await.ok(), "A  a\n");
    bench.project.publish_branch(&bench.snapshot().await, "fix", &[(patch, "m".into())]).await.unwrap();
    assert_eq!(git(&root, &["show", "fix:a"]), "2\n");
    // A linked worktree, and an embedded repository without a commit.
    let bench = Bench::git(&[("a", "1\n")]).await;
    let linked = bench.dir.path().join("linked");
    git(bench.root(), &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    fs::create_dir(linked.join("inner")).unwrap();
    git(&linked.join("inner"), &["init", "-q"]);
    let bench = Bench::over(bench.dir, &linked).await;
    let snapshot = bench.snapshot().await;
    assert!(snapshot.notes.iter().any(|note| note.contains("inner")), "{:?}", snapshot.notes);
    assert_eq!(bench.run(sh("git log --format=%s; cat a")).await.ok(), "first\n1\n");
    let used = bench.project.publish_branch(&snapshot, "side", &[]).await.unwrap_err();
    assert!(matches!(used, ProjectError::BranchInUse { .. }), "{used:?}");
    let bad = bench.project.publish_branch(&snapshot, "a..b", &[]).await.unwrap_err();
    assert!(matches!(bad, ProjectError::BranchName { .. }), "{bad:?}");
}

#[tokio::test]
async fn the_sweep_removes_what_nobody_holds() {
    let bench = Bench::git(&[("a", "1\n")]).await;
    let live = bench.worktree(&[], &[]).await;
    let folder = bench.data().join("worktrees");
    let dead = folder.join("dead");
    fs::create_dir_all(dead.join("tree")).unwrap();
    fs::write(dead.join("worktree.json"), "{}").unwrap();
    fs::create_dir_all(folder.join("not-ours")).unwrap();
    assert_eq!(Project::sweep(&folder).await.unwrap(), 1);
    assert!(live.path().exists() && folder.join("not-ours").exists() && !dead.exists());
    let path = live.path().to_owned();
    drop(live);
    until("the dropped worktree is gone", || !path.exists()).await;
    assert_eq!(Project::sweep(&folder.join("missing")).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_step_installs_into_a_cache_is_no_change() {
    let bench = Bench::git(&[("a", "1\n"), ("kept/b", "1\n")]).await;
    let tree = bench.worktree(&[], &["modules", "kept"]).await;
    let ask = sh("mkdir modules && echo 2 > modules/x && echo 2 > kept/b && echo 2 > c && git status --porcelain");
    assert_eq!(bench.run_in(&tree, ask).await.ok(), " M kept/b\n?? c\n");
    assert_eq!(tree.changed_files().await.unwrap(), ["c", "kept/b"]);
}
