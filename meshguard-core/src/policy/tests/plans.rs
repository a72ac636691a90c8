//! What a document says of the loop, and what it may not say.

use std::time::Duration;

use super::refusals::check;
use crate::Evidence;
use crate::baseline::Feature;
use crate::policy::Policy;
use crate::policy::PolicyErrorKind::*;
use crate::reflex::{ActionKind, Governor, Mode, Plan, Rate, Signal, Step, Tighten, Trigger};

const SECOND: Duration = Duration::from_secs(1);

fn plan(text: &str) -> Plan {
    let policy: Policy = format!("mesh='a'\nversion=1\n{text}").parse().unwrap();
    policy.plan().clone()
}

#[test]
fn a_reflex_is_read_whole() {
    let plan = plan(
        "[[reflex]]\nname='storm'\n\
         on={signal='handshake_failures', false_alarms='1 in 30 days', for='2s'}\n\
         do=['alert', {tighten={rate='10/s', evidence='verified', direct=true, trust=0.6}}]\n\
         then=[{after='10s', unless='falling', do='quarantine'}, {after='250ms', do=['alert']}]\n\
         ttl='15m'",
    );
    let [reflex] = plan.reflexes.as_slice() else { panic!("{plan:?}") };
    assert_eq!((&*reflex.name, reflex.ttl), ("storm", 900 * SECOND));
    let signal = Signal::Feature(Feature::HandshakeFailures);
    let one_in = Some(30 * 86_400 * SECOND);
    assert_eq!(reflex.on, Trigger { lasting: 2 * SECOND, ..Trigger::new(signal, one_in) });
    let tighten = Tighten {
        rate: Some(Rate { count: 10, per: SECOND }),
        evidence: Some(Evidence::Verified),
        direct: true,
        trust: Some(0.6),
    };
    let step = |after, unless_falling, actions| Step { after, unless_falling, actions };
    let first = vec![ActionKind::Alert, ActionKind::Tighten(tighten)];
    assert_eq!(
        reflex.steps,
        [
            step(Duration::ZERO, false, first),
            step(10 * SECOND, true, vec![ActionKind::Quarantine]),
            step(Duration::from_millis(250), false, vec![ActionKind::Alert]),
        ]
    );
    assert_eq!((plan.governor, plan.trust_start), (Governor::default(), 0.5));
}

#[test]
fn every_signal_is_known_by_its_name() {
    for signal in Signal::all() {
        let rarely = if signal.is_hard() { "" } else { ", false_alarms='1 in 1 day'" };
        let text = format!("[[reflex]]\nname='r'\non={{signal='{signal}'{rarely}}}\ndo='alert'");
        let plan = plan(&text);
        assert_eq!(plan.reflexes[0].on.signal, signal);
        assert_eq!(plan.reflexes[0].ttl, 300 * SECOND);
    }
    assert_eq!(Signal::all().count(), 15);
}

#[test]
fn what_the_document_leaves_out_is_the_default() {
    assert_eq!(plan(""), Plan::default());
    assert_eq!(*Policy::deny_all().plan(), Plan::default());
    let plan = plan(
        "[governor]\nmax_share=1\nmin_healthy=0.25\nmin_peers=0\nmin_calls=7\n\
         max_actions='100/h'\nmode='shadow'\n[trust]\nstart=0.1",
    );
    let governor = Governor {
        max_share: 1.0,
        min_healthy: 0.25,
        min_peers: 0,
        min_calls: 7,
        max_actions: Rate { count: 100, per: 3_600 * SECOND },
        mode: Mode::Shadow,
    };
    assert_eq!(plan, Plan { governor, trust_start: 0.1, ..Plan::default() });
}

const ON: &str = "[[reflex]]\nname='r'\non={signal='any', false_alarms='1 in 1 day'}\n";

#[test]
fn faults_of_a_reflex_are_refused_where_they_stand() {
    let on = |rest: &str| format!("{ON}{rest}");
    let again = format!("{ON}do='alert'\n{ON}do='alert'");
    let long = on("do='alert'\nttl='1m'\nthen={after='2m', do='alert'}");
    let steps = format!("do='alert'\nthen=[{}]", "{after='1s', do='alert'},".repeat(8));
    check(&[
        ("reflex = 1", WrongType, 3, 10, "write `[[reflex]]` above each"),
        ("[[reflex]]\ndo='alert'", MissingKey, 3, 1, "add `name = …`"),
        ("[[reflex]]\nname='r'\ndo='alert'", MissingKey, 3, 1, "add `on = …`"),
        (&on(""), MissingKey, 3, 1, "add `do = …`"),
        (&on("key='x'"), UnknownKey, 6, 1, "a reflex has `name`"),
        (&on("do=[]"), EmptyList, 6, 4, "remove `do`"),
        (&on("do='alrt'"), UnknownValue, 6, 4, "did you mean `alert`?"),
        (&on("do='tighten'"), UnknownValue, 6, 4, "{ tighten = { … } }"),
        (&on("do=['alert', 7]"), WrongType, 6, 14, "`\"quarantine\"`"),
        (&on("do=['alert', 'alert']"), DuplicateAction, 6, 14, "keep one"),
        (&on("do={reroute={}}"), UnknownKey, 6, 5, "an action has `tighten`"),
        (&on("do={tighten={}}"), EmptyTighten, 6, 13, "give `tighten` a `rate`"),
        (&on("do={tighten={direct=false, rate='1/s'}}"), EmptyTighten, 6, 21, "direct = true"),
        (&on("do={tighten={evidence='none'}}"), EmptyTighten, 6, 23, "beyond policy"),
        (&on("do={tighten={proof='dpop'}}"), UnknownKey, 6, 14, "`tighten` has `rate`"),
        (&on("do={tighten={rate='10'}}"), BadRate, 6, 19, "10/s"),
        (&on("do={tighten={trust=1.5}}"), OutOfRange, 6, 20, "from 0 to 1"),
        (&on("do='alert'\nttl='5'"), BadDuration, 7, 5, "`5m`"),
        (&on("do='alert'\nttl='25h'"), BadDuration, 7, 5, "24h at most"),
        (&on("do='alert'\nthen={do='alert'}"), MissingKey, 7, 6, "add `after = …`"),
        (&on("do='alert'\nthen={after='1s'}"), MissingKey, 7, 6, "add `do = …`"),
        (&on("do='alert'\nthen={after='0s', do='alert'}"), BadDuration, 7, 13, "250ms"),
        (
            &on("do='alert'\nthen={after='1s', unless='x', do='alert'}"),
            UnknownValue,
            7,
            26,
            "`falling`",
        ),
        (&long, LateStep, 8, 13, "`ttl` longer"),
        (&on(&steps), TooManySteps, 7, 182, "8 steps at most"),
        (&again, DuplicateReflex, 8, 6, "its own"),
    ]);
    let many = format!("[[reflex]]\n{}", "[[reflex]]\n".repeat(64));
    check(&[(&many, TooManyReflexes, 67, 1, "the bound is 64")]);
}

#[test]
fn faults_of_a_trigger_are_refused_where_they_stand() {
    let on = |on: &str| format!("[[reflex]]\nname='r'\ndo='alert'\non={{{on}}}");
    check(&[
        (&on(""), MissingKey, 6, 4, "add `signal = …`"),
        (&on("signal='rates'"), UnknownValue, 6, 12, "did you mean `rate`?"),
        (&on("signal='rate'"), MissingKey, 6, 4, "add `false_alarms = …`"),
        (&on("signal='rate', false_alarms='30 days'"), BadDuration, 6, 33, "`1 in 30 days`"),
        (&on("signal='rate', false_alarms='2 in 1h'"), BadDuration, 6, 33, "`1 in 30 days`"),
        (&on("signal='forged', false_alarms='1 in 1h'"), HardSignal, 6, 35, "at once"),
        (&on("signal='revoked', for='1s'"), HardSignal, 6, 27, "remove `for`"),
        (&on("signal='rate', during='1s'"), UnknownKey, 6, 20, "`on` has `signal`"),
    ]);
}

#[test]
fn faults_of_the_governor_and_of_trust_are_refused_where_they_stand() {
    check(&[
        ("[governor]\nmax_share=1.1", OutOfRange, 4, 11, "from 0 to 1"),
        ("[governor]\nmax_share=-0.1", OutOfRange, 4, 11, "from 0 to 1"),
        ("[governor]\nmax_share=nan", OutOfRange, 4, 11, "from 0 to 1"),
        ("[governor]\nmin_healthy=inf", OutOfRange, 4, 13, "from 0 to 1"),
        ("[governor]\nmin_healthy='1'", WrongType, 4, 13, "found: string"),
        ("[governor]\nmin_peers=-1", WrongType, 4, 11, "an integer"),
        ("[governor]\nmin_peers=4294967296", OutOfRange, 4, 11, "4294967295 at most"),
        ("[governor]\nmax_actions='0/s'", BadRate, 4, 13, "6/min"),
        ("[governor]\nmax_actions='10001/h'", OutOfRange, 4, 13, "10000 at most"),
        ("[governor]\nmode='shadows'", UnknownValue, 4, 6, "did you mean `shadow`?"),
        ("[governor]\nmax_shares=1", UnknownKey, 4, 1, "did you mean `max_share`?"),
        ("[trust]\nstart=2", OutOfRange, 4, 7, "from 0 to 1"),
        ("[trust]\nbegin=1", UnknownKey, 4, 1, "`[trust]` has `start`"),
        ("[[allow]]\nname='r'\nwhen={trust='0.5'}", WrongType, 5, 13, "a number from 0 to 1"),
        ("[[allow]]\nname='r'\nwhen={trust=0x1}", OutOfRange, 5, 13, "from 0 to 1"),
    ]);
}
