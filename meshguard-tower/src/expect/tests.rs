use meshguard_core::SpiffeId;
use meshguard_core::control::{Event, IncidentState};
use meshguard_core::reflex::Signal;

use super::*;
use crate::clock::{Offset, steady};
use crate::mesh::Mesh;
use crate::sink::{Call, Finding, Sink};

const BATCH: &SpiffeId = &SpiffeId::from_static("spiffe://a.example/batch");
const OTHER: &SpiffeId = &SpiffeId::from_static("spiffe://a.example/other");
const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://a.example/orders");

fn policy(version: u32, expects: &str) -> Arc<Policy> {
    let text = format!(
        "mesh = \"a.example\"\nversion = {version}\n\
         [peers]\nbatch = \"{BATCH}\"\norders = \"{ORDERS}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"batch\"]\nto = [\"orders\"]\n{expects}"
    );
    Arc::new(text.parse().unwrap())
}

fn nightly(at_least: &str) -> String {
    format!(
        "[[expect]]\nname = \"nightly\"\nfrom = [\"batch\"]\nto = [\"orders\"]\n\
         http = [\"POST /settlements\"]\nat_least = \"{at_least}\"\n"
    )
}

fn at(hours: u64) -> Timestamp {
    Timestamp::from_unix_secs(1_700_000_000 + hours * 3600)
}

fn settlement() -> Access<'static> {
    Access::http("POST", "/settlements").by(BATCH).to(ORDERS)
}

fn names(absences: &[Absence]) -> Vec<String> {
    absences.iter().map(ToString::to_string).collect()
}

const MISSING: &str = "nightly: 0 of at least 1 came in 86400s";

#[test]
fn what_does_not_come_in_a_whole_period_is_absent() {
    let expectations = Expectations::default();
    assert!(expectations.is_empty());
    expectations.replace(&policy(1, &nightly("1 in 24h")), ORDERS, at(0));
    assert!(!expectations.is_empty());
    for hour in 0..24 {
        assert_eq!(names(&expectations.absent(at(hour))), [""; 0], "never before its end");
    }
    assert_eq!(names(&expectations.absent(at(24))), [MISSING]);
    assert_eq!(names(&expectations.absent(at(24))), [""; 0], "once for each period");
    expectations.came(&settlement());
    assert_eq!(names(&expectations.absent(at(48))), [""; 0]);
    assert_eq!(names(&expectations.absent(at(72))), [MISSING]);
    assert_eq!(expectations.status(Offset::default())[0].absences, 2);
}

#[test]
fn only_calls_that_are_meant_count_and_as_many_as_are_meant() {
    let expectations = Expectations::default();
    expectations.replace(&policy(1, &nightly("2 in 24h")), ORDERS, at(0));
    for other in [
        Access::http("GET", "/settlements").by(BATCH).to(ORDERS),
        Access::http("POST", "/settlements/1").by(BATCH).to(ORDERS),
        Access::http("POST", "/settlements").by(OTHER).to(ORDERS),
        Access::http("POST", "/settlements").by(BATCH).to(OTHER),
        Access::http("POST", "/settlements").to(ORDERS),
        Access::grpc("/settlements").by(BATCH).to(ORDERS),
        settlement(),
    ] {
        expectations.came(&other);
    }
    let absent = expectations.absent(at(24));
    assert_eq!(names(&absent), ["nightly: 1 of at least 2 came in 86400s"]);
    expectations.came(&settlement());
    expectations.came(&settlement());
    assert_eq!(expectations.status(Offset::default())[0].seen, 2);
    assert_eq!(names(&expectations.absent(at(48))), [""; 0]);
}

/// Several services share one document: each misses its own calls alone.
#[test]
fn what_another_service_is_to_be_called_for_is_not_missed_here() {
    let shared = policy(1, &nightly("1 in 24h"));
    let other = Expectations::default();
    other.replace(&shared, OTHER, at(0));
    assert!(other.is_empty() && other.status(Offset::default()).is_empty());
    assert_eq!(names(&other.absent(at(24))), [""; 0]);
    let own = Expectations::default();
    own.replace(&shared, ORDERS, at(0));
    assert_eq!(names(&own.absent(at(24))), [MISSING]);
    // Of two expectations, each is its own service's, and their counts stay apart.
    let second = "[[expect]]\nname = \"second\"\nto = [\"batch\"]\nat_least = \"1 in 24h\"\n";
    let shared = policy(2, &format!("{second}{}", nightly("1 in 24h")));
    own.replace(&shared, ORDERS, at(24));
    own.came(&settlement());
    assert_eq!(own.status(Offset::default()).len(), 1);
    assert_eq!(
        (&*own.status(Offset::default())[0].name, own.status(Offset::default())[0].seen),
        ("nightly", 1)
    );
    own.replace(&shared, BATCH, at(24));
    assert_eq!(names(&own.absent(at(48))), ["second: 0 of at least 1 came in 86400s"]);
}

#[test]
fn an_expectation_that_stays_the_same_goes_on_under_another_policy() {
    let expectations = Expectations::default();
    let other = "[[expect]]\nname = \"first\"\nat_least = \"1 in 1h\"\n";
    expectations.replace(&policy(1, &nightly("1 in 24h")), ORDERS, at(0));
    // In front of it stands another one, and its period is its own.
    expectations.replace(&policy(2, &format!("{other}{}", nightly("1 in 24h"))), ORDERS, at(23));
    assert_eq!(
        names(&expectations.absent(at(24))),
        ["first: 0 of at least 1 came in 3600s", MISSING]
    );
    expectations.came(&settlement());
    expectations.replace(&policy(3, &nightly("1 in 24h")), ORDERS, at(47));
    assert_eq!(names(&expectations.absent(at(48))), [""; 0], "what came is not forgotten");
    // Another number is another expectation, which begins with a whole period.
    expectations.replace(&policy(4, &nightly("2 in 24h")), ORDERS, at(71));
    assert_eq!(names(&expectations.absent(at(94))), [""; 0]);
    assert_eq!(expectations.absent(at(95)).len(), 1);
    expectations.replace(&policy(5, ""), ORDERS, at(96));
    assert!(expectations.is_empty() && expectations.absent(at(1000)).is_empty());
}

#[test]
fn time_in_which_nobody_counted_is_one_absence() {
    let expectations = Expectations::default();
    expectations.replace(&policy(1, &nightly("1 in 24h")), ORDERS, at(0));
    assert_eq!(expectations.absent(at(240)).len(), 1);
    assert_eq!(expectations.absent(at(263)).len(), 0);
    assert_eq!(expectations.absent(at(264)).len(), 1);
}

/// What a mesh tells of absences.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        self.0.lock().unwrap().push(format!("{}: {}", finding.name, finding.detail));
    }

    fn event(&self, event: &Event) {
        if let Event::Opened(incident) = event {
            self.0.lock().unwrap().push(format!("{} on {}", incident.signal, incident.edge));
        }
    }
}

fn mesh(more: &str) -> (Mesh, Told) {
    let text = format!("mesh = \"shop.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n{more}");
    let told = Told::default();
    let builder = Mesh::dev("spiffe://shop.example/orders").unwrap();
    let mesh = builder.policy(text.parse().unwrap()).sink(told.clone()).build().unwrap();
    (mesh, told)
}

const SETTLES: &str = "[[expect]]\nname = \"settles\"\nhttp = [\"POST /settlements\"]\n\
                       at_least = \"1 in 24h\"\n";

#[test]
fn the_loop_tells_what_is_absent_and_opens_an_incident() {
    let (mesh, told) = mesh(SETTLES);
    let (began, hour) = (steady(), Duration::from_secs(3600));
    mesh.turn(began);
    mesh.turn(began + 23 * hour);
    assert!(told.0.lock().unwrap().is_empty(), "never before the end of a whole period");
    mesh.turn(began + 25 * hour);
    let incident = mesh.incidents().remove(0);
    assert_eq!((incident.signal, incident.state), (Signal::Absent, IncidentState::Open));
    mesh.turn(began + 26 * hour);
    let told = told.0.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            "absent: settles: 0 of at least 1 came in 86400s",
            "absent on callee spiffe://shop.example/orders (settles)",
        ]
    );
    // Nobody is accused of it, and nothing is taken from anybody.
    assert_eq!(mesh.expectations()[0].absences, 1);
    assert!(mesh.edges().iter().all(|edge| edge.restriction.is_none()));
}

/// The seeded fault: without an expectation nobody misses anything.
#[test]
fn what_nobody_expects_is_not_missed() {
    let (mesh, told) = mesh("");
    mesh.turn(steady() + Duration::from_secs(100 * 86_400));
    assert!(told.0.lock().unwrap().is_empty() && mesh.incidents().is_empty());
}
