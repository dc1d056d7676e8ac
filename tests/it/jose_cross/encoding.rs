//! Signatures and encodings that are almost right.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use mintage::jose::{Algorithm, JwsError, MAX_TOKEN_BYTES};
use serde_json::json;

use super::{PARTIES, Party, append_signature, edited, good_claims, party};

struct Parts {
    header: String,
    payload: String,
    signature: Vec<u8>,
}

impl Parts {
    fn of(token: &str) -> Self {
        let parts: Vec<_> = token.split('.').collect();
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        Self { header: parts[0].to_owned(), payload: parts[1].to_owned(), signature }
    }

    fn signed_with(&self, signature: &[u8]) -> String {
        append_signature(&format!("{}.{}", self.header, self.payload), signature)
    }
}

/// DER's INTEGER: no leading zeros but the one that keeps it positive.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    [&[2, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
}

#[test]
fn an_ecdsa_signature_is_r_and_s_at_full_length_and_nothing_else() {
    let party = party(Algorithm::ES256);
    let good = Parts::of(&party.twin());
    assert_eq!(good.signature.len(), 64);
    let (r, s) = good.signature.split_at(32);
    let (zero, one) = (&[0; 32][..], &[&[0; 31][..], &[1]].concat()[..]);
    let order = b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
                  \xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
    let integers = [der_integer(r), der_integer(s)].concat();
    let der = [&[0x30, u8::try_from(integers.len()).unwrap()], &integers[..]].concat();
    for (name, signature) in [
        ("DER", der),
        // CVE-2022-21449.
        ("all zero", [zero, zero].concat()),
        ("r zero", [zero, s].concat()),
        ("s zero", [r, zero].concat()),
        ("both one", [one, one].concat()),
        ("r the order", [order, s].concat()),
        ("s the order", [r, order].concat()),
        ("both the order", [&order[..], order].concat()),
        ("s and r", [s, r].concat()),
        ("both all ones", vec![0xff; 64]),
        ("r alone", r.to_vec()),
        ("with a zero before each", [&[0], r, &[0], s].concat()),
    ] {
        party.refuses(name, &good.signed_with(&signature), JwsError::BadSignature);
    }
}

#[test]
fn signatures_of_another_length_are_refused() {
    for party in PARTIES.iter() {
        let good = Parts::of(&party.twin());
        let signature = &good.signature[..];
        let cut = &signature[..signature.len() - 1];
        for (name, signature) in [
            ("none", vec![]),
            ("truncated", cut.to_vec()),
            ("without its first byte", signature[1..].to_vec()),
            ("half", signature[..signature.len() / 2].to_vec()),
            ("extended by zero", [signature, &[0]].concat()),
            ("a zero before it", [&[0], signature].concat()),
            ("twice", [signature, signature].concat()),
            ("all zero", vec![0; signature.len()]),
            ("all ones", vec![0xff; signature.len()]),
            ("of a single one", [&vec![0; cut.len()][..], &[1]].concat()),
        ] {
            party.refuses(name, &good.signed_with(&signature), JwsError::BadSignature);
        }
    }
}

#[test]
fn a_signature_is_good_for_its_own_header_and_payload_alone() {
    for party in PARTIES.iter() {
        let good = Parts::of(&party.twin());
        let other = Parts::of(&party.sign(
            edited(&party.header(), "cty", Some("\"json\"")),
            edited(&good_claims(), "scope", Some("\"orders:everything\"")),
        ));
        for (header, payload) in
            [(&good.header, &other.payload), (&other.header, &good.payload), (&other.header, &other.payload)]
        {
            let forged = append_signature(&format!("{header}.{payload}"), &good.signature);
            party.refuses("a signature of another token", &forged, JwsError::BadSignature);
        }
    }
}

/// A good token whose parts have, in base64, a character that the two alphabets write differently.
fn with_a_telling_alphabet(party: &Party) -> Parts {
    let payload = edited(&good_claims(), "x", Some("\"???>>>~~~\""));
    let telling = |nonce: u32| {
        let token = party.sign(edited(&party.header(), "x", Some(&format!("\"???>>>~~~{nonce}\""))), &payload);
        token.split('.').all(|part| part.contains(['-', '_'])).then_some(token)
    };
    Parts::of(&(0..1_000).find_map(telling).expect("some signature out of a thousand has such a character"))
}

#[test]
fn only_canonical_unpadded_base64url_is_read() {
    for party in PARTIES.iter() {
        let good = with_a_telling_alphabet(party);
        let signature = URL_SAFE_NO_PAD.encode(&good.signature);
        let join = |header: &str, payload: &str, signature: &str| format!("{header}.{payload}.{signature}");
        let (h, p, s) = (&good.header[..], &good.payload[..], &signature[..]);
        party.accepts("the token that the others are made of", &join(h, p, s));

        let standard = |part: &str| part.replace('-', "+").replace('_', "/");
        let padded = |part: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
        let spill = spilled(s);
        assert_eq!(STANDARD_NO_PAD.encode(&good.signature), standard(s));
        let mut forged = vec![
            ("the standard alphabet in the header", join(&standard(h), p, s)),
            ("the standard alphabet in the payload", join(h, &standard(p), s)),
            ("the standard alphabet in the signature", join(h, p, &standard(s))),
            ("the standard alphabet, padded", join(h, p, &STANDARD.encode(&good.signature))),
            ("padding on the signature", join(h, p, &padded(s))),
            ("one padding character on each", join(&format!("{h}="), &format!("{p}="), &format!("{s}="))),
            ("a padding character alone on the header", join(&format!("{h}="), p, s)),
            ("a padding character alone on the payload", join(h, &format!("{p}="), s)),
            ("padding within", join(h, p, &s.replacen(&s[4..8], "AA==", 1))),
            ("trailing bits that are not zero", join(h, p, &spill)),
            ("a length that no bytes have", join(h, p, &format!("{s}AAA"))),
            ("a space before it", format!(" {}", join(h, p, s))),
            ("a line end after it", format!("{}\n", join(h, p, s))),
            ("a carriage return after it", format!("{}\r\n", join(h, p, s))),
            ("a tab after it", format!("{}\t", join(h, p, s))),
            ("a NUL after it", format!("{}\0", join(h, p, s))),
            ("a space within the payload", join(h, &p.replacen(&p[4..5], " ", 1), s)),
            ("a line end within the signature", join(h, p, &format!("{}\n{}", &s[..40], &s[40..]))),
            ("spaces about the dots", format!("{h} . {p} . {s}")),
            ("percent-encoding", join(h, p, &s.replace('-', "%2D").replace('_', "%5F"))),
            ("a fullwidth dot", format!("{h}．{p}．{s}")),
            ("a character beyond ASCII", join(h, p, &format!("{s}é"))),
            ("quotes about it", format!("\"{}\"", join(h, p, s))),
            ("the scheme before it", format!("Bearer {}", join(h, p, s))),
            ("four parts", format!("{}.{s}", join(h, p, s))),
            ("five parts, as a JWE has", format!("{h}.{p}.{s}.{p}.{s}")),
            ("an empty fourth part", format!("{}.", join(h, p, s))),
            ("an empty part before it", format!(".{}", join(h, p, s))),
            ("two parts", format!("{h}.{p}")),
            ("one part", h.to_owned()),
            ("nothing", String::new()),
            ("one dot", ".".to_owned()),
            ("three dots", "...".to_owned()),
        ];
        // The trailing bits of these parts exist only where their length leaves some.
        forged.extend((h.len() % 4 > 1).then(|| ("trailing bits in the header", join(&spilled(h), p, s))));
        forged.extend((p.len() % 4 > 1).then(|| ("trailing bits in the payload", join(h, &spilled(p), s))));
        for (name, token) in &forged {
            party.refuses(name, token, JwsError::NotCompact);
        }
        for (name, token) in [("an empty header", join("", p, s)), ("two dots", "..".to_owned())] {
            party.refuses(name, &token, JwsError::BadHeader);
        }
        for (name, token) in [("an empty payload", join(h, "", s)), ("an empty signature", join(h, p, ""))] {
            party.refuses(name, &token, JwsError::BadSignature);
        }
    }
}

/// The same bytes to a lenient decoder: a bit is set in what the last character has beyond the last byte.
fn spilled(part: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at(part.len() - 1);
    let digit = alphabet.find(last).unwrap();
    assert!(part.len() % 4 > 1 && digit % 4 == 0, "the last character of {part} has no bits to spare");
    format!("{rest}{}", &alphabet[digit + 1..digit + 2])
}

#[test]
fn a_token_over_the_limit_is_refused_unread() {
    for party in PARTIES.iter() {
        let of_length = |length: usize| {
            let filled = |fill: usize| {
                party.sign(
                    party.header().to_string(),
                    edited(&good_claims(), "fill", Some(&json!("f".repeat(fill)).to_string())),
                )
            };
            let mut fill = length * 3 / 4 - 2_000;
            while filled(fill).len() < length {
                fill += (length - filled(fill).len()).div_ceil(2);
            }
            filled(fill)
        };
        // Base64 has no part of 4n+1 characters, so that not every length can be met; these two can.
        let fits = of_length(MAX_TOKEN_BYTES - 8);
        assert!(fits.len() <= MAX_TOKEN_BYTES, "{}", fits.len());
        party.accepts("a token just short of the limit", &fits);
        let over = of_length(MAX_TOKEN_BYTES + 1);
        assert!(over.len() < MAX_TOKEN_BYTES + 8, "{}", over.len());
        party.refuses("a token just over the limit", &over, JwsError::TooLong);
    }
}
