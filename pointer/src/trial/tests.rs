use super::*;
use proptest::prelude::*;
extern crate std;
use std::vec::Vec;

const OLD: Name = Name {
    number: 2,
    letter: b'b',
};
const NEW: Name = Name {
    number: 3,
    letter: b'c',
};

/// Generation 2 boots, generation 1 did before, and 3 is to be tried.
fn wanted() -> Pointer {
    let fields = Fields {
        previous: Some(1),
        trial: Some(Trial {
            name: NEW,
            phase: Phase::Wanted,
            home: OLD.letter,
        }),
        ..Fields::new(OLD.number)
    };
    Pointer {
        letter: OLD.letter,
        fields: Some(fields),
    }
}

/// How the generation on trial behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Healthy,
    /// Init gives the verdict.
    Unhealthy,
    /// The machine resets behind init's first write.
    Dies,
    /// The machine resets before init.
    NeverReached,
}

/// A machine: what outlasts a reset, and a budget of pointer writes after which the power fails.
struct Machine {
    pointer: Pointer,
    one_shot: Option<Name>,
    has_variables: bool,
    writes_left: Option<usize>,
    new: New,
}

/// What one boot came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The machine runs on in a generation.
    Runs(Name),
    /// It was reset, or the power failed.
    Reset,
}

struct Cut;

impl Machine {
    fn write(&mut self, pointer: Option<Pointer>) -> Result<(), Cut> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or(Cut)?;
        }
        self.pointer = pointer.unwrap();
        Ok(())
    }

    fn boot(&mut self) -> (Name, Came) {
        let by_pointer = if self.pointer.letter == NEW.letter {
            NEW
        } else {
            OLD
        };
        let runs = self.one_shot.take().unwrap_or(by_pointer);
        match self.run(runs) {
            Ok(came) => (runs, came),
            Err(Cut) => {
                self.writes_left = None;
                (runs, Came::Reset)
            }
        }
    }

    fn run(&mut self, runs: Name) -> Result<Came, Cut> {
        if runs == NEW && self.new == New::NeverReached {
            return Ok(Came::Reset);
        }
        match next(&self.pointer, self.has_variables.then_some(runs)) {
            Step::Nothing => Ok(Came::Runs(runs)),
            Step::Begin(trial) => {
                self.write(self.pointer.begun(!self.has_variables))?;
                if self.has_variables {
                    self.one_shot = Some(trial.name);
                }
                Ok(Came::Reset)
            }
            Step::Run(_) => {
                assert_eq!(
                    runs, NEW,
                    "the old generation thinks that it is the new one"
                );
                self.write(self.pointer.started())?;
                match self.new {
                    New::Healthy => {
                        self.write(self.pointer.judged(Verdict::Good, ""))?;
                        Ok(Came::Runs(runs))
                    }
                    New::Unhealthy => {
                        let verdict = Verdict::Failed(Failure::Unhealthy);
                        self.write(self.pointer.judged(verdict, "no answer"))?;
                        Ok(Came::Reset)
                    }
                    _ => Ok(Came::Reset),
                }
            }
            Step::Conclude { failure, reset, .. } => {
                self.write(
                    self.pointer
                        .judged(Verdict::Failed(failure), failure.text()),
                )?;
                Ok(if reset { Came::Reset } else { Came::Runs(runs) })
            }
        }
    }
}

fn any_new() -> impl Strategy<Value = New> {
    prop_oneof![
        Just(New::Healthy),
        Just(New::Unhealthy),
        Just(New::Dies),
        Just(New::NeverReached)
    ]
}

proptest! {
    /// Whatever the new generation does and wherever the power fails, the machine soon runs the
    /// old generation or the new one, the new one only if it is healthy, and has tried once.
    #[test]
    fn a_trial_ends(
        new in any_new(),
        has_variables in any::<bool>(),
        cut in proptest::option::of(0usize..4),
    ) {
        // Without variables nothing helps where init is never reached; `nos` says so.
        prop_assume!(has_variables || new != New::NeverReached);
        let mut machine = Machine {
            pointer: wanted(),
            one_shot: None,
            has_variables,
            writes_left: cut,
            new,
        };
        let mut boots = Vec::new();
        let runs = loop {
            let (booted, came) = machine.boot();
            boots.push(booted);
            prop_assert!(boots.len() < 6, "a loop: {boots:?}");
            if let Came::Runs(name) = came {
                break name;
            }
        };
        let fields = machine.pointer.fields.unwrap();
        prop_assert_eq!(fields.trial, None);
        let expected = if runs == NEW { (NEW, Some(2)) } else { (OLD, Some(1)) };
        prop_assert_eq!((machine.pointer.letter, fields.current), (expected.0.letter, expected.0.number));
        prop_assert_eq!(fields.previous, expected.1);
        prop_assert!(runs == OLD || new == New::Healthy);
        if cut.is_none() {
            prop_assert_eq!(runs == NEW, new == New::Healthy);
            prop_assert!(boots.iter().filter(|name| **name == NEW).count() <= 2);
        }
        match fields.verdicts.get(NEW.letter) {
            Some(Verdict::Good) => prop_assert_eq!(runs, NEW),
            Some(Verdict::Failed(_)) => prop_assert_eq!(fields.reason.unwrap().number, 3),
            None => prop_assert!(false, "no verdict"),
        }
        // And from now on nothing happens.
        prop_assert_eq!(machine.boot(), (runs, Came::Runs(runs)));
    }
}

#[test]
fn without_the_boot_loader_s_word_nobody_stays_in_what_may_be_the_trial() {
    let begun = wanted().begun(false).unwrap();
    let step = next(&begun, None);
    assert!(matches!(
        step,
        Step::Conclude {
            failure: Failure::NotReached,
            reset: true,
            ..
        }
    ));
    assert!(matches!(
        next(&begun, Some(OLD)),
        Step::Conclude { reset: false, .. }
    ));
    assert!(matches!(next(&begun, Some(NEW)), Step::Run(_)));
    assert_eq!(
        next(&begun.judged(Verdict::Good, "").unwrap(), None),
        Step::Nothing
    );
}

#[test]
fn what_is_known_is_written_once() {
    let pointer = Pointer {
        letter: OLD.letter,
        fields: Some(Fields::new(2)),
    };
    let seen = pointer.seen(OLD, false).unwrap();
    assert_eq!(seen.fields.unwrap().booted, Some(2));
    assert_eq!(seen.seen(OLD, false), None);
    let good = seen.seen(OLD, true).unwrap();
    assert_eq!(good.fields.unwrap().verdicts.get(b'b'), Some(Verdict::Good));
    assert_eq!(good.seen(OLD, true), None);
    let torn = Pointer {
        fields: None,
        ..pointer
    };
    assert_eq!(torn.seen(OLD, true), None);
}

#[test]
fn a_machine_is_put_right_once() {
    let pointer = Pointer {
        letter: NEW.letter,
        fields: Some(Fields::new(3)),
    };
    let astray = pointer.astray().unwrap();
    assert_eq!(astray.astray(), None);
    assert_eq!(astray.seen(OLD, true).unwrap().astray(), None);
    let arrived = astray.seen(NEW, true).unwrap();
    assert!(arrived.astray().is_some());
    assert_eq!(arrived.seen(NEW, true), None);
}

#[test]
fn every_failure_has_a_code_of_its_own() {
    for (failure, code, text) in Failure::ALL {
        let mut verdicts = Verdicts::default();
        verdicts.set(b'7', Some(Verdict::Failed(failure)));
        assert_eq!(verdicts.get(b'7'), Some(Verdict::Failed(failure)));
        assert!(code != UNKNOWN && code != GOOD && !text.is_empty());
        assert_eq!(failure.text(), text);
    }
}
