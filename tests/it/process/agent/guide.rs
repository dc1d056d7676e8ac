//! The programs of `docs/guides/agent.md`, against the real service.

use std::fs;

use serde_json::Value;

use super::{Agent, Site, clean, finish, wait_for};

const GUIDE: &str = include_str!("../../../../docs/guides/agent.md");

/// The only block of the guide in this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn a_python_program_and_a_shell_script_call_a_guarded_route() {
    let site = Site::new(&["--scope", "mintage:projects:read"]);
    let (mut agent, at) = site.on_socket(&["--listen", "127.0.0.1:0", "--file", "token"]);
    let (tcp, whoami) = (agent.address(), site.server.url("/api/v1/whoami"));
    let file = site.place.at("token");
    wait_for("the file", || file.exists().then_some(()));
    let over_loopback = "import json, os, urllib.request as r\n\
                         agent = r.Request(os.environ['AGENT'] + '/token', headers={'X-Mintage-Agent': '1'})\n\
                         token = json.load(r.urlopen(agent))['access_token']\n\
                         api = r.Request(os.environ['API'], headers={'Authorization': 'Bearer ' + token})\n\
                         print(r.urlopen(api).read().decode())";
    let with_curl = "set -e\n\
                     token=$(curl -sf -H 'X-Mintage-Agent: 1' --unix-socket \"$MINTAGE_AGENT_SOCKET\" http://localhost/token |\n\
                     sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n\
                     curl -sf -H \"Authorization: Bearer $token\" \"$API\"";
    for (program, text) in
        [("python3", block("python")), ("python3", over_loopback), ("sh", block("sh")), ("sh", with_curl)]
    {
        let mut command = clean(program);
        command.args(["-c", text]).env("API", &whoami).env("AGENT", format!("http://{tcp}"));
        command.env("MINTAGE_AGENT_SOCKET", site.place.at("agent.sock")).env("TOKEN_FILE", &file);
        let ran = finish(command, "");
        assert_eq!(ran.code, Some(0), "{text}: {}{}", ran.out, ran.err);
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{text}: {}", ran.out));
        assert_eq!(said["claims"]["client_id"], site.id.as_str(), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), at.token());
}

#[test]
fn the_configuration_of_the_guide_is_one() {
    let site = Site::new(&super::ORDERS);
    let stock = site.place.client(&["stock", "--scope", "stock:read"]);
    site.place.write("stock.json", super::credentials(&stock.0, &stock.1));
    let text = block("toml")
        .replace("/run/mintage-agent/", "")
        .replace("https://auth.example.com", &site.server.url(""))
        .replace("/etc/mintage-agent/orders.json", "credentials.json")
        .replace("/etc/mintage-agent/", "");
    site.place.write("agent.toml", text);
    let _agent = Agent::spawn(site.place.command(&["agent", "--config", "agent.toml"]));
    let status = || site.place.run(&["agent", "status", "--config", "agent.toml"]);
    let ran = wait_for("both tokens", || Some(status()).filter(|ran| ran.code == Some(0)));
    assert!(ran.out.contains("orders.token") && ran.out.contains("stock"), "{}", ran.out);
}
