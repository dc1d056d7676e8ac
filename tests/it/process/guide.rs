//! `docs/guides/client.md`, done as it says: the commands that make a package, and the program in it.

use std::path::Path;
use std::process::Command;

use super::Place;

const GUIDE: &str = include_str!("../../../docs/guides/client.md");

/// The blocks of the guide that begin with this line, without their fences.
fn blocks(fence: &str) -> impl Iterator<Item = &'static str> {
    GUIDE.split("\n```").enumerate().filter(|(number, _)| number % 2 == 1).filter_map(move |(_, block)| {
        let (language, text) = block.split_once('\n')?;
        (language == fence).then_some(text)
    })
}

fn cargo(folder: &Path, args: &[&str]) -> Command {
    let mut command = super::cargo();
    command.args(args).current_dir(folder);
    command
}

fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_newcomer_gets_from_cargo_add_to_a_call_in_ten_lines() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    let made = ["client", "create", "caller", "--id", "caller", "--scope", "mintage:projects:read"];
    place.text(&[&made[..], &["--save", "caller.json"]].concat());

    let commands = blocks("").find(|block| block.starts_with("cargo new")).unwrap();
    let mut lines = commands.lines();
    assert_eq!(lines.next(), Some("cargo new caller && cd caller"));
    succeeds(cargo(place.at("").as_path(), &["new", "--vcs", "none", "caller"]));
    let package = place.at("caller");
    for line in lines {
        let here = line.replace("../mintage", env!("CARGO_MANIFEST_DIR"));
        let words: Vec<_> = here.split_whitespace().skip(1).chain(["--offline"]).collect();
        succeeds(cargo(&package, &words));
    }

    let program = blocks("rust").next().unwrap();
    let code = program.lines().filter(|line| !line.is_empty()).count();
    assert!(code <= 10, "{code} lines");
    std::fs::write(package.join("src/main.rs"), program.replace("http://127.0.0.1:8080", &server.url(""))).unwrap();
    // The versions that are tested, and a folder of its own, which later runs find filled.
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/guide");
    let said = succeeds(cargo(&package, &["run", "-q", "--offline", "--target-dir", target]));
    assert!(said.contains(r#""id":"default""#), "{said}");
}
