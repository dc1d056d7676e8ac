//! A working directory in which the program is run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Mintage, Ran, clean, finish};

/// A working directory in which the program is run.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_mintage"));
        command.args(args).current_dir(self.0.path());
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), "")
    }

    pub(super) fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        finish(command, "")
    }

    /// What a command that has to work prints.
    pub(super) fn text(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran.out
    }

    /// The one line of JSON that a command prints with `--json`.
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[args, &["--json"]].concat());
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// What a command that has to fail says on stderr; it prints nothing on stdout.
    pub(super) fn fails(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
        ran.err
    }

    /// The server, on a free port.
    pub(super) fn start(&self, args: &[&str]) -> Mintage {
        self.start_with(args, &[])
    }

    pub(super) fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Mintage {
        let mut command = self.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        // What these tests send in a minute is more than anybody should; limits have tests of their own.
        for limit in ["TOKEN__PER_MINUTE", "TOKEN__PER_DAY", "FAILED_AUTH__PER_MINUTE"] {
            command.env(format!("MINTAGE_LIMITS__{limit}"), "0");
        }
        for class in ["READ", "WRITE"] {
            for limit in ["PER_MINUTE", "PER_DAY", "CONCURRENT"] {
                command.env(format!("MINTAGE_LIMITS__ROUTES__{class}__{limit}"), "0");
            }
        }
        command.envs(variables.iter().copied());
        Mintage::spawn(command)
    }

    /// What the server says when it has to refuse to start.
    pub(super) fn refused(&self, args: &[&str]) -> String {
        self.fails(&[&["serve", "--listen", "127.0.0.1:0"], args].concat())
    }

    /// A second place with copies of the store and the keys of this one, which must not be running.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        for folder in ["data", "keys"] {
            fs::create_dir(copy.at(folder)).unwrap();
            for entry in fs::read_dir(self.at(folder)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), copy.at(folder).join(entry.file_name())).unwrap();
                }
            }
        }
        copy
    }

    pub(super) fn store(&self) -> PathBuf {
        self.at("data/mintage.redb")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.at("data/admin.sock")
    }

    /// The kids of the key files, in order of their names.
    pub(super) fn key_files(&self) -> Vec<String> {
        let names = fs::read_dir(self.at("keys")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut kids: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".pem")?.to_owned())).collect();
        kids.sort();
        kids
    }

    /// Registers a client. Its id and its secret.
    pub(super) fn client(&self, args: &[&str]) -> (String, String) {
        let made = self.json(&[&["client", "create"], args].concat());
        (made["client_id"].as_str().unwrap().to_owned(), made["client_secret"].as_str().unwrap().to_owned())
    }
}
