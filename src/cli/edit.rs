//! Lists that a command adds to and takes from: they are sent whole.

use super::Failure;

/// `list` without `remove` and with `add`; none where neither names anything.
pub(super) fn edited(
    what: &str,
    list: &[String],
    add: Vec<String>,
    remove: &[String],
) -> Result<Option<Vec<String>>, Failure> {
    if add.is_empty() && remove.is_empty() {
        return Ok(None);
    }
    if let Some(both) = add.iter().find(|one| remove.contains(one)) {
        return Err(Failure::new(format!("the {what} {both} cannot be both added and taken away")));
    }
    if let Some(absent) = remove.iter().find(|one| !list.contains(one)) {
        return Err(missing(what, absent, list, "taken away"));
    }
    let kept = list.iter().filter(|one| !remove.contains(one)).cloned();
    let added = add.iter().filter(|one| !list.contains(one)).cloned();
    Ok(Some(kept.chain(added).collect()))
}

/// What is to be taken away, or else, is not in `list`.
pub(super) fn missing<'a>(
    what: &str,
    absent: &str,
    list: impl IntoIterator<Item = &'a String>,
    to_be: &str,
) -> Failure {
    let there: Vec<_> = list.into_iter().map(String::as_str).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(" ") };
    Failure::new(format!("the {what} {absent} is not there to be {to_be}; there is: {there}"))
}
