//! Carrying a template out.

use super::Template;
use super::funcs;
use super::lex::Place;
use super::parse::{Branch, Command, Node, Operand, Pipe, Term};
use super::value::Value;

/// How deep templates may call one another.
const MAX_CALLS: usize = 200;

/// Evaluates the whole template over `data`.
pub(super) fn execute(template: &Template, data: &Value) -> Result<String, String> {
    let mut run =
        Run { template, out: String::new(), variables: vec![("$".into(), data.clone())], name: String::new(), calls: 0 };
    run.list(&template.root, data)?;
    Ok(run.out)
}

struct Run<'a> {
    template: &'a Template,
    out: String,
    variables: Vec<(String, Value)>,
    name: String,
    calls: usize,
}

/// How a list ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Run<'_> {
    fn fail<T>(&self, at: Place, context: impl std::fmt::Display, why: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("template: :{}:{}: executing {:?} at <{context}>: {why}", at.line, at.column, self.name))
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.out.push_str(&value.print());
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::Call { name, argument, at } => self.call(name, argument.as_ref(), *at, dot)?,
                Node::Branch(Branch::Range, pipe, body, otherwise) => {
                    let scope = self.variables.len();
                    let flow = self.range(pipe, body, otherwise, dot)?;
                    self.variables.truncate(scope);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Branch(kind, pipe, body, otherwise) => {
                    let scope = self.variables.len();
                    let value = self.pipe(pipe, dot)?;
                    let flow = match (value.truth(), kind) {
                        (true, Branch::With) => self.list(body, &value)?,
                        (true, _) => self.list(body, dot)?,
                        (false, _) => self.list(otherwise, dot)?,
                    };
                    self.variables.truncate(scope);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<Flow, String> {
        let first = self.variables.len();
        let value = self.pipe(pipe, dot)?;
        let inner = self.variables.len();
        let elements: Box<dyn Iterator<Item = (Value, Value)>> = match value {
            Value::Nil => Box::new(std::iter::empty()),
            Value::List(items) => Box::new(items.into_iter().enumerate().map(|(i, v)| (Value::Plain(i as i64), v))),
            Value::Map(entries) => Box::new(entries.into_iter().map(|(k, v)| (Value::Str(k), v))),
            // counts in the number's own type
            Value::Plain(n) if pipe.variables.len() < 2 && n <= MAX_COUNT => {
                Box::new((0..n).map(|i| (Value::Nil, Value::Plain(i))))
            }
            Value::Int(n) if pipe.variables.len() < 2 && n <= MAX_COUNT => Box::new((0..n).map(|i| (Value::Nil, Value::Int(i)))),
            Value::Uint(n) if pipe.variables.len() < 2 && n <= MAX_COUNT as u64 => {
                Box::new((0..n).map(|i| (Value::Nil, Value::Uint(i))))
            }
            Value::Plain(_) | Value::Int(_) | Value::Uint(_) if pipe.variables.len() > 1 => {
                let place = pipe.commands[0].operands[0].at;
                return self.fail(
                    place,
                    pipe,
                    format_args!("can't use {} to iterate over more than one variable", value.print()),
                );
            }
            other => {
                let place = pipe.commands[0].operands[0].at;
                return self.fail(place, pipe, format_args!("range can't iterate over {}", other.print()));
            }
        };
        let mut any = false;
        for (key, element) in elements {
            any = true;
            // one variable is the element, two are key and element
            let set: &[&Value] = match pipe.variables.len() {
                0 => &[],
                1 => &[&element],
                _ => &[&key, &element],
            };
            if pipe.declares {
                for (slot, value) in self.variables[first..].iter_mut().zip(set) {
                    slot.1 = (*value).clone();
                }
            } else {
                for (name, value) in pipe.variables.iter().zip(set) {
                    self.assign(name, (*value).clone());
                }
            }
            let flow = self.list(body, &element)?;
            self.variables.truncate(inner);
            if flow == Flow::Break {
                break;
            }
        }
        if any { Ok(Flow::On) } else { self.list(otherwise, dot) }
    }

    fn call(&mut self, name: &str, argument: Option<&Pipe>, at: Place, dot: &Value) -> Result<(), String> {
        let shown =
            || argument.map_or_else(|| format!("{{{{template {name:?}}}}}"), |a| format!("{{{{template {name:?} {a}}}}}"));
        let Some(body) = self.template.defined.get(name) else {
            return self.fail(at, shown(), format_args!("template {name:?} not defined"));
        };
        if self.calls == MAX_CALLS {
            return self.fail(at, shown(), format_args!("exceeded maximum template depth ({MAX_CALLS})"));
        }
        let value = argument.map_or(Ok(Value::Nil), |a| self.pipe(a, dot))?;
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), value.clone())]);
        let outer_name = std::mem::replace(&mut self.name, name.to_owned());
        self.calls += 1;
        self.list(body, &value)?;
        self.calls -= 1;
        self.name = outer_name;
        self.variables = outer;
        Ok(())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                self.assign(name, value.clone());
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let first = &command.operands[0];
        if let Term::Function(name) = &first.term {
            let mut arguments = Vec::with_capacity(command.operands.len());
            for operand in &command.operands[1..] {
                let value = self.operand(operand, dot)?;
                // these two look no further than they must
                if let ("and", false) | ("or", true) = (name.as_str(), value.truth()) {
                    return Ok(value);
                }
                arguments.push(value);
            }
            arguments.extend(piped);
            let value = match funcs::call(name, arguments) {
                Ok(value) => value,
                Err(funcs::Wrong::Count(why)) => return self.fail(first.at, name, why),
                Err(funcs::Wrong::Value(why)) => {
                    return self.fail(first.at, command, format_args!("error calling {name}: {why}"));
                }
            };
            return self.fields(value, first, &first.fields);
        }
        // `Time.Format` is the one method with an argument
        if let (Some(("Format", owner)), [_, layout]) =
            (first.fields.split_last().map(|(l, o)| (l.as_str(), o)), &command.operands[..])
        {
            let owner = Operand { fields: owner.to_vec(), ..first.clone() };
            if let (Value::Time(time), Value::Str(layout)) = (self.operand(&owner, dot)?, self.operand(layout, dot)?) {
                return Ok(Value::Str(time.format(&layout)));
            }
        }
        let given = piped.is_some() || command.operands.len() > 1;
        if given {
            return match &first.term {
                Term::Fields | Term::Variable(_) | Term::Pipe(_) if first.fields.last().is_some() => {
                    let name = first.fields.last().map_or("", String::as_str);
                    self.fail(first.at, first, format_args!("{name} has arguments but cannot be invoked as function"))
                }
                _ => self.fail(first.at, first, format_args!("can't give argument to non-function {first}")),
            };
        }
        if matches!(first.term, Term::Nil) {
            return self.fail(first.at, first, "nil is not a command");
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let start = match &operand.term {
            Term::Dot | Term::Fields => dot.clone(),
            Term::Nil => Value::Nil,
            Term::Constant(value, _) => value.clone(),
            Term::Variable(name) => {
                self.variables.iter().rev().find(|(n, _)| n == name).map_or(Value::Nil, |(_, value)| value.clone())
            }
            Term::Function(_) => {
                let alone = Command { operands: vec![operand.clone()] };
                return self.command(&alone, dot, None);
            }
            Term::Pipe(pipe) => self.pipe(pipe, dot)?,
        };
        self.fields(start, operand, &operand.fields)
    }

    fn fields(&self, mut value: Value, operand: &Operand, fields: &[String]) -> Result<Value, String> {
        for name in fields {
            let next = match &value {
                Value::Struct(s) => s.get(name).cloned(),
                Value::Map(entries) => Some(entries.get(name).cloned().unwrap_or(Value::Absent)),
                Value::Time(time) => time.method(name),
                Value::Nil | Value::Absent => {
                    return self.fail(operand.at, operand, format_args!("nil data; no entry for key {name:?}"));
                }
                _ => None,
            };
            value = match next {
                Some(next) => next,
                None => {
                    let why = format!("can't evaluate field {name} in type {}", value.type_name());
                    return self.fail(operand.at, operand, why);
                }
            };
        }
        Ok(value)
    }
}

/// How far `range` counts.
const MAX_COUNT: i64 = 1_000_000;
