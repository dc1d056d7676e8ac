//! Files that are replaced whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mintage::crypto::entropy::{Entropy, NoEntropy, SeededEntropy, SystemEntropy};
use mintage::files::{Unfinished, remove_unfinished, replace};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.json");
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn begin(path: &Path) -> Unfinished {
    Unfinished::begin(path, 0o600, &SystemEntropy::new()).unwrap()
}

#[test]
fn it_is_there_whole_with_its_mode_and_nothing_beside_it() {
    let (folder, path) = place();
    let entropy = SystemEntropy::new();
    for (bytes, mode) in [(&b"one"[..], 0o600), (b"", 0o600), (&[0xff; 100_000], 0o640), (b"last", 0o666)] {
        replace(&path, bytes, mode, &entropy).unwrap();
        assert_eq!((fs::read(&path).unwrap(), self::mode(&path)), (bytes.to_vec(), mode));
        assert_eq!(names_in(folder.path()), ["token.json"]);
    }
    // The mode is the new one's: nobody who could read the old one reads on.
    let reader = File::open(&path).unwrap();
    replace(&path, b"private", 0o600, &entropy).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "last");
}

#[test]
fn until_it_is_committed_nothing_has_happened() {
    let (folder, path) = place();
    for before in [None, Some("before")] {
        if let Some(text) = before {
            fs::write(&path, text).unwrap();
        }
        let unfinished = begin(&path);
        let names = names_in(folder.path());
        assert_eq!(names.len(), 1 + usize::from(before.is_some()), "{names:?}");
        let random = names[0].strip_prefix(".token.json.").and_then(|rest| rest.strip_suffix(".new")).unwrap();
        assert!(random.len() == 12 && random.chars().all(|c| c.is_ascii_alphanumeric()), "{names:?}");
        assert_eq!(mode(&folder.path().join(&names[0])), 0o600);
        drop(unfinished);
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
        assert_eq!(names_in(folder.path()).len(), usize::from(before.is_some()));
    }
}

#[test]
fn what_cannot_be_a_file_is_refused_at_the_beginning() {
    let (folder, path) = place();
    fs::create_dir(folder.path().join("below")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let before = names_in(folder.path());
    for name in
        ["below", "below/", "below/.", "below/..", "", "/", "..", ".", "new/", "new/.", "new//", "pipe", "missing/x"]
    {
        // As it is written: `join` would mend some of it.
        let path = PathBuf::from(format!("{}/{name}", folder.path().display()));
        let path = if name.is_empty() { PathBuf::new() } else { path };
        let error = Unfinished::begin(&path, 0o600, &SystemEntropy::new()).unwrap_err();
        let missing = name == "missing/x";
        assert_eq!(error.kind() == ErrorKind::NotFound, missing, "{name:?}: {error}");
        assert!(missing || error.kind() == ErrorKind::InvalidInput, "{name:?}: {error}");
        assert_eq!(names_in(folder.path()), before, "{name:?}");
    }
    let long = folder.path().join("x".repeat(250));
    assert_eq!(Unfinished::begin(&long, 0o600, &SystemEntropy::new()).unwrap_err().kind(), ErrorKind::InvalidFilename);
    assert!(Unfinished::begin(Path::new("/proc/x"), 0o600, &SystemEntropy::new()).is_err());

    #[derive(Debug)]
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), NoEntropy> {
            Err(NoEntropy)
        }
    }
    assert!(Unfinished::begin(&path, 0o600, &Dry).is_err());
    assert_eq!(names_in(folder.path()), before);
}

#[test]
fn names_of_any_bytes_will_do() {
    let (folder, _) = place();
    for name in [&b"a"[..], b".hidden", b"...", b"with space", b"line\nbreak", b"\xff\xfe", b".a.AAAAAAAAAAAA.new"] {
        let path = folder.path().join(OsStr::from_bytes(name));
        replace(&path, name, 0o600, &SystemEntropy::new()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), name);
        std::mem::forget(begin(&path));
        assert_eq!(remove_unfinished(&path).unwrap(), 0, "its writer lives");
    }
}

#[test]
fn a_link_is_replaced_and_what_it_points_to_stays() {
    let (folder, path) = place();
    let target = folder.path().join("target");
    fs::write(&target, "kept").unwrap();
    for points_to in [target.as_path(), Path::new("nowhere"), folder.path()] {
        drop(fs::remove_file(&path));
        symlink(points_to, &path).unwrap();
        replace(&path, b"new", 0o600, &SystemEntropy::new()).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), fs::read_to_string(&target).unwrap()),
            ("new".into(), "kept".into())
        );
    }
}

/// A name that somebody has taken, or has put a link at, is passed over.
#[test]
fn a_temporary_name_that_is_taken_is_not_used() {
    let (folder, path) = place();
    let first = Unfinished::begin(&path, 0o600, &SeededEntropy::new(1)).unwrap();
    let name = names_in(folder.path()).remove(0);
    drop(first);
    let victim = folder.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, folder.path().join(&name)).unwrap();
    replace(&path, b"new", 0o600, &SeededEntropy::new(1)).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert!(fs::symlink_metadata(folder.path().join(&name)).unwrap().is_symlink(), "it is not ours to take away");
    assert_eq!(remove_unfinished(&path).unwrap(), 0, "nor is it what a writer left");
}

#[test]
fn commit_new_takes_the_place_of_nothing() {
    let (folder, path) = place();
    begin(&path).commit_new(b"first").unwrap();
    assert_eq!((mode(&path), fs::metadata(&path).unwrap().nlink()), (0o600, 1));
    let late = begin(&path).commit_new(b"second").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    let link = folder.path().join("link");
    symlink("nowhere", &link).unwrap();
    assert_eq!(begin(&link).commit_new(b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(names_in(folder.path()), ["link", "token.json"]);

    // Of many at once, one.
    let path = folder.path().join("contested");
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (path, won) = (&path, &won);
            scope.spawn(move || match begin(path).commit_new(format!("{n}").as_bytes()) {
                Ok(()) => {
                    won.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(fs::read_to_string(path).unwrap(), format!("{n}"));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
            });
        }
    });
    assert_eq!(won.into_inner(), 1);
    assert_eq!(names_in(folder.path()), ["contested", "link", "token.json"]);
}

#[test]
fn what_fails_at_the_end_leaves_what_was_there() {
    let (folder, path) = place();
    // A folder with something in it cannot be replaced by a rename, not even by root.
    let unfinished = begin(&path);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("kept"), "kept").unwrap();
    assert!(unfinished.commit(b"new").is_err());
    assert_eq!(begin(&folder.path().join("other")).commit(b"new").ok(), Some(()));
    assert_eq!(names_in(folder.path()), ["other", "token.json"]);
    assert_eq!(fs::read_to_string(path.join("kept")).unwrap(), "kept");
    // The folder is gone by then.
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let unfinished = begin(&below.join("x"));
    fs::remove_dir_all(&below).unwrap();
    assert!(unfinished.commit(b"new").is_err());
    assert!(!below.exists());
}

/// Writers replace it while the remains of others are taken away: no writer fails, and no reader sees half of it.
#[test]
fn writers_readers_and_cleaners_do_not_disturb_each_other() {
    let (folder, path) = place();
    let text = |n: usize| format!("{n}:{}", "x".repeat(n * 37 % 9000));
    replace(&path, text(0).as_bytes(), 0o600, &SystemEntropy::new()).unwrap();
    let (stop, read, removed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..150 {
                        replace(path, text(writer * 1000 + n).as_bytes(), 0o600, &SystemEntropy::new()).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    removed.fetch_add(remove_unfinished(&path).unwrap(), Ordering::SeqCst);
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let seen = fs::read_to_string(&path).unwrap();
                    let n = seen.split(':').next().unwrap().parse().unwrap();
                    assert_eq!(seen, text(n));
                    read.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(read.into_inner() > 100);
    assert_eq!(names_in(folder.path()), ["token.json"]);
}

#[test]
fn what_is_left_of_exactly_this_file_is_taken_away() {
    let (folder, path) = place();
    let left = |name: &str| fs::write(folder.path().join(name), "left").unwrap();
    for gone in [".token.json.AAAAAAAAAAAA.new", ".token.json.z9Z9z9Z9z9Z9.new"] {
        left(gone);
    }
    fs::set_permissions(folder.path().join(".token.json.AAAAAAAAAAAA.new"), fs::Permissions::from_mode(0o600)).unwrap();
    let kept = [
        "token.json",
        "token.json.AAAAAAAAAAAA.new",
        ".token.json.AAAAAAAAAAA.new",
        ".token.json.AAAAAAAAAAAAA.new",
        ".token.json.AAAAAAAAAAA-.new",
        ".token.json.AAAAAAAAAAAé.new",
        ".token.json.AAAAAAAAAAAA.new2",
        ".token.json.AAAAAAAAAAAA",
        ".token.json..new",
        ".token.json.new",
        ".token.jso.AAAAAAAAAAAA.new",
        ".token.json2.AAAAAAAAAAAA.new",
        ".token.json.b.AAAAAAAAAAAA.new",
        ".Token.json.AAAAAAAAAAAA.new",
        "..token.json.AAAAAAAAAAAA.new",
    ];
    for name in kept {
        left(name);
    }
    fs::create_dir(folder.path().join(".token.json.BBBBBBBBBBBB.new")).unwrap();
    symlink("token.json", folder.path().join(".token.json.CCCCCCCCCCCC.new")).unwrap();
    let living = begin(&path);
    let before = names_in(folder.path());
    assert_eq!(remove_unfinished(&path).unwrap(), 2);
    let after = names_in(folder.path());
    assert_eq!(after.len(), before.len() - 2, "{after:?}");
    assert!(kept.iter().all(|name| after.iter().any(|there| there == name)), "{after:?}");
    assert_eq!(remove_unfinished(&path).unwrap(), 0);
    living.commit(b"lives").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "lives");
    assert_eq!(remove_unfinished(&folder.path().join("missing/x")).unwrap(), 0);
    assert!(remove_unfinished(Path::new("..")).is_err());
    assert!(remove_unfinished(&path.join("x")).is_err(), "{} is no folder", path.display());
}
