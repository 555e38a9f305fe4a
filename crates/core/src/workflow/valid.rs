//! What must hold of a workflow before it runs, each mistake by name.
//!
//! Deliberately absent: whether a named sub-workflow exists. That is known when it is started.

use std::collections::BTreeSet;

use super::input::{self, BadInputs};
use super::{Action, Shell, StepSpec, Wait, Workflow};
use crate::expression::{self, BadExpression};

/// Steps one workflow may have.
pub const STEPS_MAX: usize = 500;
/// Fixers one step may have.
pub const FIXERS_MAX: usize = 20;
/// Tries one step may have.
pub const RETRIES_MAX: u32 = 25;

/// Why a workflow is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkflow {
    /// There is nothing to run.
    #[error("the workflow has no steps")]
    Empty,
    /// More steps than allowed.
    #[error("the workflow has {count} steps; at most {STEPS_MAX} are allowed")]
    TooManySteps {
        /// How many there are.
        count: usize,
    },
    /// A step's name cannot be used.
    #[error("step name {name:?} is not valid: use 1 to 100 letters, digits and - _ . : /")]
    Name {
        /// The name.
        name: String,
    },
    /// Two steps share a name.
    #[error("two steps are named {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A step has no command.
    #[error("step {step:?} has no command")]
    NoCommand {
        /// The step.
        step: String,
    },
    /// A need names no step.
    #[error("step {step:?} needs {need:?}, which is not a step")]
    UnknownNeed {
        /// The step.
        step: String,
        /// What it needs.
        need: String,
    },
    /// The needs run in a circle.
    #[error("these steps need each other in a circle: {}", .steps.join(" -> "))]
    Cycle {
        /// The steps of the circle.
        steps: Vec<String>,
    },
    /// A folder leaves the project.
    #[error("step {step:?} has dir {dir:?}, which leaves the project")]
    Dir {
        /// The step.
        step: String,
        /// The folder.
        dir: String,
    },
    /// Too many fixers.
    #[error("step {step:?} has {count} fixers; at most {FIXERS_MAX} are allowed")]
    TooManyFixers {
        /// The step.
        step: String,
        /// How many.
        count: usize,
    },
    /// An expression or template does not parse.
    #[error("step {step:?}: {field} cannot be read")]
    Expression {
        /// The step.
        step: String,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: BadExpression,
    },
    /// A value is out of its range.
    #[error("step {step:?}: {what}")]
    Value {
        /// The step.
        step: String,
        /// What is wrong, and what is allowed.
        what: String,
    },
    /// An input's default is not of its type.
    #[error("a default of the workflow's inputs is wrong")]
    Default(#[source] BadInputs),
    /// An output does not parse.
    #[error("output {name:?} cannot be read")]
    Output {
        /// The output.
        name: String,
        /// What is wrong.
        #[source]
        source: BadExpression,
    },
}

impl Workflow {
    /// Checks everything that must hold, and puts the steps in an order in which each comes after its needs
    /// (the given order is kept otherwise).
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(mut self) -> Result<Workflow, BadWorkflow> {
        match self.steps.len() {
            0 => return Err(BadWorkflow::Empty),
            count if count > STEPS_MAX => return Err(BadWorkflow::TooManySteps { count }),
            _ => {}
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            check_step(step)?;
            check_kind(self.steps.as_slice(), step)?;
            if !names.insert(step.name.as_str()) {
                return Err(BadWorkflow::Duplicate { name: step.name.clone() });
            }
        }
        for step in &self.steps {
            if let Some(need) = step.needs.iter().find(|need| !names.contains(need.as_str())) {
                return Err(BadWorkflow::UnknownNeed { step: step.name.clone(), need: need.clone() });
            }
        }
        if let Some(bad) = input::bad_default(&self.inputs) {
            return Err(BadWorkflow::Default(bad));
        }
        for (name, value) in &self.outputs {
            expression::check_fill(value).map_err(|source| BadWorkflow::Output { name: name.clone(), source })?;
        }
        self.steps = in_order(self.steps)?;
        Ok(self)
    }
}

/// Names of steps and signals go into addresses, files and commands, so they are plain.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(allowed)
}

fn check_step(step: &StepSpec) -> Result<(), BadWorkflow> {
    if !is_name(&step.name) {
        return Err(BadWorkflow::Name { name: step.name.clone() });
    }
    let value = |what: &str| Err(BadWorkflow::Value { step: step.name.clone(), what: what.to_owned() });
    if let Some(retry) = step.retry {
        if !(1..=RETRIES_MAX).contains(&retry.attempts_max) {
            return value(&format!("retry.attempts_max is {}; 1 to {RETRIES_MAX} are allowed", retry.attempts_max));
        }
        if retry.jitter > 100 {
            return value(&format!("retry.jitter is {} percent; 0 to 100 are allowed", retry.jitter));
        }
    }
    if let Some(when) = &step.when {
        let bad = |source| BadWorkflow::Expression { step: step.name.clone(), field: "when", source };
        expression::check(when).map_err(bad)?;
    }
    check_action(step, &step.action)?;
    match &step.compensate {
        None | Some(Action::Shell(_) | Action::Http(_) | Action::Llm(_) | Action::Transform(_)) => {}
        Some(other) => {
            let kind = other.kind();
            return value(&format!("compensate is of kind {kind}; shell, http, llm and transform are allowed"));
        }
    }
    step.compensate.as_ref().map_or(Ok(()), |action| check_action(step, action))
}

/// What must hold of one action.
fn check_action(step: &StepSpec, action: &Action) -> Result<(), BadWorkflow> {
    let name = || step.name.clone();
    let value = |what: String| Err(BadWorkflow::Value { step: name(), what });
    let bad = |field| move |source| BadWorkflow::Expression { step: step.name.clone(), field, source };
    match action {
        Action::Shell(shell) => return check_shell(step, shell),
        Action::Http(http) => {
            expression::check_template(&http.url).map_err(bad("url"))?;
            http.headers.values().try_for_each(|text| expression::check_template(text)).map_err(bad("headers"))?;
            http.body.as_ref().map_or(Ok(()), expression::check_fill).map_err(bad("body"))?;
            if http.url.trim().is_empty() {
                return value("url is empty".into());
            }
        }
        Action::Llm(llm) => {
            expression::check_template(&llm.prompt).map_err(bad("prompt"))?;
            expression::check_template(&llm.system).map_err(bad("system"))?;
        }
        Action::Repair(_) => {}
        Action::Approval(approval) => expression::check_template(&approval.prompt).map_err(bad("prompt"))?,
        Action::Wait(Wait { duration_ms, until, signal, .. }) => {
            let given = [duration_ms.is_some(), until.is_some(), signal.is_some()];
            if given.into_iter().filter(|given| *given).count() != 1 {
                return value("a wait has exactly one of duration_ms, until and signal".into());
            }
            if let Some(signal) = signal.as_deref().filter(|signal| !is_name(signal)) {
                return value(format!("{signal:?} is no signal's name: use 1 to 100 letters, digits and - _ . : /"));
            }
            until.as_deref().map_or(Ok(()), expression::check_template).map_err(bad("until"))?;
        }
        Action::Workflow(call) => {
            call.inputs.values().try_for_each(expression::check_fill).map_err(bad("inputs"))?;
        }
        Action::Transform(transform) => expression::check_fill(&transform.value).map_err(bad("value"))?,
        Action::Condition(condition) => expression::check(&condition.test).map_err(bad("test"))?,
        Action::Foreach(each) => {
            expression::check_fill(&each.items).map_err(bad("items"))?;
            if matches!(*each.action, Action::Foreach(_) | Action::Repair(_)) {
                return value(format!("foreach cannot do a {} for each item", each.action.kind()));
            }
            if !(1..=100).contains(&each.concurrency) {
                return value(format!("concurrency is {}; 1 to 100 are allowed", each.concurrency));
            }
            return check_action(step, &each.action);
        }
    }
    Ok(())
}

fn check_shell(step: &StepSpec, shell: &Shell) -> Result<(), BadWorkflow> {
    if shell.command.is_empty() {
        return Err(BadWorkflow::NoCommand { step: step.name.clone() });
    }
    if shell.dir.starts_with('/') || shell.dir.split('/').any(|part| part == "..") {
        return Err(BadWorkflow::Dir { step: step.name.clone(), dir: shell.dir.clone() });
    }
    if shell.fixers.len() > FIXERS_MAX {
        return Err(BadWorkflow::TooManyFixers { step: step.name.clone(), count: shell.fixers.len() });
    }
    for template in shell.env_from.values() {
        let bad = |source| BadWorkflow::Expression { step: step.name.clone(), field: "env_from", source };
        expression::check_template(template).map_err(bad)?;
    }
    Ok(())
}

/// What must hold of a step beside the others.
fn check_kind(steps: &[StepSpec], step: &StepSpec) -> Result<(), BadWorkflow> {
    let value = |what: String| Err(BadWorkflow::Value { step: step.name.clone(), what });
    if let Action::Repair(repair) = &step.action {
        let target = steps.iter().find(|other| other.name == repair.target);
        match target.map(StepSpec::as_shell) {
            None => return value(format!("its target {:?} is not a step", repair.target)),
            Some(None) => return value(format!("its target {:?} is not a shell step", repair.target)),
            Some(Some(_)) if step.needs.contains(&repair.target) => {
                return value("a repair waits for its target by itself, and cannot need its success".into());
            }
            Some(Some(_)) => {}
        }
    }
    // Steps made while a run goes on are named by their parent: nothing else may have these names.
    let parent = step.name.rsplit_once('/').and_then(|(parent, last)| {
        let made = last == "undo" || last.chars().all(|c| c.is_ascii_digit());
        steps.iter().find(|other| other.name == parent).filter(|_| made)
    });
    match parent {
        Some(parent) if matches!(parent.action, Action::Foreach(_)) || parent.compensate.is_some() => {
            value(format!("this name is kept for what {:?} starts", parent.name))
        }
        _ => Ok(()),
    }
}

/// Kahn's algorithm, taking the first ready step of the given order each time.
fn in_order(mut rest: Vec<StepSpec>) -> Result<Vec<StepSpec>, BadWorkflow> {
    let mut done = BTreeSet::new();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let Some(next) = rest.iter().position(|step| after(step).all(|need| done.contains(need))) else {
            return Err(BadWorkflow::Cycle { steps: rest.into_iter().map(|step| step.name).collect() });
        };
        let step = rest.remove(next);
        done.insert(step.name.clone());
        ordered.push(step);
    }
    Ok(ordered)
}

/// What a step comes after: its needs, and what it repairs.
fn after(step: &StepSpec) -> impl Iterator<Item = &String> {
    let target = match &step.action {
        Action::Repair(repair) => Some(&repair.target),
        _ => None,
    };
    step.needs.iter().chain(target)
}
