//! What a layout keeps, of documents that are written in every way.
#![allow(clippy::panic, clippy::unwrap_used)]

use meshguard_core::Policy;

use super::layout;

fn laid(text: &str) -> String {
    layout(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(laid(text), want);
    assert_eq!(laid(want), want, "laid out twice is laid out once");
}

#[test]
fn comments_stay_where_they_stand() {
    check(
        "# of the file\n\n\n  # of mesh\nmesh='m'# behind\nversion=1\n[peers]# of peers\n   a   =  'x'\n# last\n\n# of the rule\n[[allow]]\nname='a'\n\n\n# the end",
        "# of the file\n\n# of mesh\nmesh = 'm' # behind\nversion = 1\n\n[peers] # of peers\na = 'x'\n# last\n\n# of the rule\n[[allow]]\nname = 'a'\n\n# the end\n",
    );
    check(
        "a = [ # open\n 'b' # of b\n , 'c', # of c\n\n# of d\n'd' # behind d\n# end\n]\n",
        "a = [ # open\n    'b', # of b\n    'c', # of c\n    # of d\n    'd', # behind d\n    # end\n]\n",
    );
    check("# nothing else\n\n\n", "# nothing else\n");
    check(
        "[[allow]]\nname='a'\n# of the next\n[[allow]]\n",
        "[[allow]]\nname = 'a'\n\n# of the next\n[[allow]]\n",
    );
}

#[test]
fn white_space_is_of_one_kind() {
    check("a=1\t\n\t b =  2  \n\n\n\nc\t=3", "a = 1\nb = 2\n\nc = 3\n");
    check("\n\n[ a . b ]\nc.d . e = { x=1 ,y= [1,2] }\n", "[a.b]\nc.d.e = { x = 1, y = [1, 2] }\n");
    check("a = []\nb = {}\nc = [ ]\n", "a = []\nb = {}\nc = []\n");
    check("a = [1,]\n", "a = [1]\n");
    check("a = [\n1]\n", "a = [\n    1,\n]\n");
    check(
        "a = [{ x = 1 },\n{x=2, z.y=[\n3]}]\n",
        "a = [\n    { x = 1 },\n    { x = 2, z.y = [\n        3,\n    ] },\n]\n",
    );
    check("s = '''\n a  \n\n\n # no comment'''\n", "s = '''\n a  \n\n\n # no comment'''\n");
}

#[test]
fn line_ends_stay_and_a_byte_order_mark_goes() {
    let text = "\u{feff}mesh='m' # c\r\n\r\n\r\n[[allow]]\r\nname = 'a'\r\n";
    let want = "mesh = 'm' # c\r\n\r\n[[allow]]\r\nname = 'a'\r\n";
    check(text, want);
}

#[test]
fn a_list_that_is_too_wide_has_a_line_for_each_item() {
    let items = ["'GET /orders/{id}'"; 8];
    let lines: String = items.iter().map(|item| format!("    {item},\n")).collect();
    check(&format!("http = [{}]\n", items.join(",")), &format!("http = [\n{lines}]\n"));
    let few = format!("http = [{}]\n", items[..4].join(", "));
    check(&few, &few);
}

/// The documents of the guides, and of the command's own tests.
fn documents() -> Vec<String> {
    let texts = [
        include_str!("../../../docs/policy.md"),
        include_str!("../../../docs/policy-guide.md"),
        include_str!("../../../docs/istio.md"),
    ];
    let blocks = texts.iter().flat_map(|text| text.split("```toml\n").skip(1));
    let blocks = blocks.filter_map(|block| block.split("\n```").next());
    blocks.map(|block| format!("{block}\n")).filter(|b| b.parse::<Policy>().is_ok()).collect()
}

/// The comments of a text that has no `#` in a string, in their order.
fn comments(text: &str) -> Vec<String> {
    let comment = |line: &str| Some(line.split_once('#')?.1.trim_end().to_owned());
    text.lines().filter_map(comment).collect()
}

/// Random white space and comments where TOML has room for them.
fn perturbed(text: &str, random: &mut impl FnMut(usize) -> usize) -> String {
    let mut out = String::from(if random(4) == 0 { "\u{feff}" } else { "" });
    let end = if random(3) == 0 { "\r\n" } else { "\n" };
    for (at, line) in text.lines().enumerate() {
        for _ in 0..random(3) {
            out += ["", "  ", "\t", "# c", "\t# d  "][random(5)];
            out += end;
        }
        out += ["", "  ", "\t"][random(3)];
        let line = if random(2) == 0 { line.replace(" = ", "=") } else { line.to_owned() };
        let line = if random(2) == 0 { line.replace(", ", "\t,  ") } else { line };
        out += &line;
        // Inside of a list, too.
        if random(4) == 0 && !line.contains('#') {
            out += &format!(" \t# behind {at}");
        }
        out += ["", " ", "\t"][random(3)];
        out += end;
    }
    out += ["", "# the end", "\t# the end\n"][random(3)];
    out
}

/// Of any text: it means the same, keeps its comments, and laid out twice is laid out once.
#[test]
fn a_layout_changes_neither_the_meaning_nor_the_comments() {
    let seed: u64 = match std::env::var("LAYOUT_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::process::id().into(),
    };
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let documents = documents();
    assert!(documents.len() >= 4, "{}", documents.len());
    let mut read = 0;
    for _ in 0..400 {
        let document = &documents[random(documents.len())];
        let text = perturbed(document, &mut random);
        let Ok(policy) = text.parse::<Policy>() else { continue };
        read += 1;
        let once = laid(&text);
        let again: Policy = once.parse().unwrap_or_else(|e| panic!("seed {seed}: {e}\n{once}"));
        assert_eq!(again.to_toml(), policy.to_toml(), "seed {seed}\n{text}\n{once}");
        assert_eq!(laid(&once), once, "seed {seed}\n{text}");
        let trimmed =
            |text: &str| comments(text).iter().map(|c| c.trim().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&once), trimmed(&text), "seed {seed}\n{text}\n{once}");
        assert!(once.lines().all(|line| line == line.trim_end()), "seed {seed}\n{once}");
    }
    assert!(read >= 200, "{read}");
}
