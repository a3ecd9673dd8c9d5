//! From pieces to a tree.

use std::collections::HashMap;
use std::fmt;

use super::Template;
use super::funcs;
use super::lex::{self, Piece, Place, Placed, Token};
use super::value::Value;

/// How deep parentheses and blocks may nest.
const MAX_DEPTH: usize = 100;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Printed as it is.
    Text(String),
    /// Evaluated, and printed unless it declares.
    Action(Pipe),
    /// `if`, `with`, `range`: a pipeline, what to do with it, and what to do without.
    Branch(Branch, Pipe, Vec<Node>, Vec<Node>),
    /// Leaves the loop.
    Break,
    /// Goes on with the next element.
    Continue,
    /// Another template with an argument.
    Call { name: String, argument: Option<Pipe>, at: Place },
}

/// Which construct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    If,
    With,
    Range,
}

/// Commands, each given the value of the one before, perhaps into variables.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// Whether the variables are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand, or a function with operands.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// A term and the fields behind it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    pub(super) fields: Vec<String>,
    pub(super) at: Place,
}

/// What a value begins with.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Constant(Value, String),
    /// `.A.B`, whose fields are with the operand.
    Fields,
    Variable(String),
    Function(String),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Dot => f.write_str(".")?,
            Term::Nil => f.write_str("nil")?,
            Term::Constant(_, source) => f.write_str(source)?,
            Term::Fields => {}
            Term::Variable(name) | Term::Function(name) => f.write_str(name)?,
            Term::Pipe(pipe) => write!(f, "({pipe})")?,
        }
        self.fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.declares { ":=" } else { "=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Template, String> {
    let lines = source.matches('\n').count() + 1;
    let mut parser = Parser {
        pieces: lex::pieces(source)?.into_iter(),
        lines,
        variables: vec!["$".into()],
        defined: HashMap::new(),
        loops: 0,
        depth: 0,
    };
    let (root, end) = parser.list(true)?;
    match end {
        End::Eof => Ok(Template { root, defined: parser.defined }),
        End::Close(at) => Err(at.says("unexpected {{end}}")),
        End::Else(at, _) => Err(at.says("unexpected {{else}}")),
    }
}

impl Place {
    fn says(self, why: impl fmt::Display) -> String {
        format!("template: :{}: {why}", self.line)
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    lines: usize,
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
    loops: usize,
    depth: usize,
}

/// What ended a list.
enum End {
    Eof,
    Close(Place),
    /// With the words behind `else`.
    Else(Place, Vec<Placed>),
}

impl Parser {
    fn list(&mut self, top: bool) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, at) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens, at) => (tokens, at),
            };
            let keyword = match tokens.first() {
                Some(Placed { token: Token::Word(word), .. }) => word.as_str(),
                _ => "",
            };
            match keyword {
                "end" if tokens.len() == 1 => return Ok((nodes, End::Close(at))),
                "else" => return Ok((nodes, End::Else(at, tokens[1..].to_vec()))),
                "if" => nodes.push(self.branch(Branch::If, &tokens[1..], at)?),
                "with" => nodes.push(self.branch(Branch::With, &tokens[1..], at)?),
                "range" => nodes.push(self.branch(Branch::Range, &tokens[1..], at)?),
                "break" | "continue" if tokens.len() == 1 => {
                    if self.loops == 0 {
                        return Err(at.says(format_args!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                    }
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" if top && self.depth == 0 => self.define(&tokens, at)?,
                "define" => return Err(at.says("unexpected {{define}}")),
                "template" => nodes.push(self.call(&tokens[1..], at)?),
                "block" => {
                    let call = self.call(&tokens[1..], at)?;
                    self.define(&tokens[..2], at)?;
                    nodes.push(call);
                }
                _ => {
                    let mut words = Words { tokens: &tokens, next: 0, end: at };
                    let pipe = self.pipe(&mut words, "command")?;
                    words.finish("command")?;
                    nodes.push(Node::Action(pipe));
                }
            }
        }
        Ok((nodes, End::Eof))
    }

    fn branch(&mut self, kind: Branch, tokens: &[Placed], at: Place) -> Result<Node, String> {
        let context = match kind {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        self.enter(at)?;
        let scope = self.variables.len();
        let mut words = Words { tokens, next: 0, end: at };
        let pipe = self.pipe(&mut words, context)?;
        words.finish(context)?;
        if pipe.variables.len() > 1 && kind != Branch::Range {
            return Err(at.says(format_args!("too many declarations in {context}")));
        }
        self.loops += usize::from(kind == Branch::Range);
        let (body, end) = self.list(false)?;
        self.loops -= usize::from(kind == Branch::Range);
        let otherwise = match end {
            End::Eof => return Err(format!("template: :{}: unexpected EOF", self.lines)),
            End::Close(_) => Vec::new(),
            End::Else(at, rest) => match rest.first() {
                None => match self.list(false)? {
                    (nodes, End::Close(_)) => nodes,
                    (_, End::Eof) => return Err(format!("template: :{}: unexpected EOF", self.lines)),
                    (_, End::Else(at, _)) => return Err(at.says("expected end; found {{else}}")),
                },
                // `else if` needs one `end` for both
                Some(Placed { token: Token::Word(word), .. }) if word == context && kind != Branch::Range => {
                    vec![self.branch(kind, &rest[1..], at)?]
                }
                Some(other) => return Err(at.says(format_args!("unexpected {} in {context} clause", other.token.shown()))),
            },
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Node::Branch(kind, pipe, body, otherwise))
    }

    fn enter(&mut self, at: Place) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(at.says("max expression depth exceeded")) } else { Ok(()) }
    }

    fn define(&mut self, tokens: &[Placed], at: Place) -> Result<(), String> {
        let [_, Placed { token: Token::Str { value: name, .. }, .. }] = tokens else {
            return Err(at.says("unexpected define clause: a name in quotes is missing"));
        };
        self.enter(at)?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.list(false)?;
        match end {
            End::Eof => return Err(format!("template: :{}: unexpected EOF", self.lines)),
            End::Else(at, _) => return Err(at.says("unexpected {{else}} in define clause")),
            End::Close(_) => {}
        }
        self.variables = outer;
        self.loops = loops;
        self.depth -= 1;
        self.defined.insert(name.clone(), body);
        Ok(())
    }

    fn call(&mut self, tokens: &[Placed], at: Place) -> Result<Node, String> {
        let Some(Placed { token: Token::Str { value: name, .. }, at: place, .. }) = tokens.first() else {
            return Err(at.says("unexpected template clause: a name in quotes is missing"));
        };
        let mut words = Words { tokens: &tokens[1..], next: 0, end: at };
        let argument = if tokens.len() > 1 { Some(self.pipe(&mut words, "template clause")?) } else { None };
        words.finish("template clause")?;
        Ok(Node::Call { name: name.clone(), argument, at: *place })
    }

    fn pipe(&mut self, words: &mut Words<'_>, context: &str) -> Result<Pipe, String> {
        let (variables, declares) = self.declaration(words, context)?;
        let mut commands = Vec::new();
        loop {
            let mut operands = Vec::new();
            while let Some(operand) = self.operand(words, context)? {
                if let Some(word) = words.peek()
                    && !word.spaced
                    && !matches!(word.token, Token::Sign("|" | ")"))
                {
                    return Err(word.at.says(format_args!("unexpected {} in operand", word.token.shown())));
                }
                operands.push(operand);
            }
            if operands.is_empty() {
                return Err(words.place().says(if commands.is_empty() {
                    format!("missing value for {context}")
                } else {
                    "empty command".into()
                }));
            }
            if !commands.is_empty()
                && !matches!(&operands[0].term, Term::Function(_) | Term::Fields | Term::Variable(_) | Term::Pipe(_))
            {
                return Err(operands[0].at.says(format_args!("non executable command in pipeline stage {}", commands.len() + 1)));
            }
            commands.push(Command { operands });
            if !words.take(&Token::Sign("|")) {
                break;
            }
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { variables, declares, commands })
    }

    /// `$a, $b :=`, `$a =` or nothing.
    fn declaration(&mut self, words: &mut Words<'_>, context: &str) -> Result<(Vec<String>, bool), String> {
        let mut names = Vec::new();
        let mut ahead = words.next;
        let sign = loop {
            match (words.tokens.get(ahead).map(|t| &t.token), words.tokens.get(ahead + 1).map(|t| &t.token)) {
                (Some(Token::Variable(name)), Some(Token::Sign(sign @ (":=" | "=" | ",")))) => {
                    names.push(name.clone());
                    ahead += 2;
                    if *sign != "," {
                        break *sign;
                    }
                }
                _ => return Ok((Vec::new(), false)),
            }
        };
        if names.len() > if context == "range" { 2 } else { 1 } {
            return Err(words.place().says(format_args!("too many declarations in {context}")));
        }
        words.next = ahead;
        if sign == "=" {
            for name in &names {
                self.known(name, words.place())?;
            }
        }
        Ok((names, sign == ":="))
    }

    fn known(&self, name: &str, at: Place) -> Result<(), String> {
        if self.variables.iter().any(|v| v == name) { Ok(()) } else { Err(at.says(format_args!("undefined variable {name:?}"))) }
    }

    fn operand(&mut self, words: &mut Words<'_>, context: &str) -> Result<Option<Operand>, String> {
        let Some(word) = words.peek() else { return Ok(None) };
        let at = word.at;
        let constant = |value, source: &str| Term::Constant(value, source.to_owned());
        let (term, mut fields) = match &word.token {
            Token::Sign("(") => {
                words.next += 1;
                self.enter(at)?;
                let pipe = self.pipe(words, "parenthesized pipeline")?;
                if !words.take(&Token::Sign(")")) {
                    return Err(words.place().says("unclosed left paren"));
                }
                self.depth -= 1;
                words.next -= 1;
                (Term::Pipe(Box::new(pipe)), vec![])
            }
            Token::Sign("|" | ")") => return Ok(None),
            Token::Sign(sign) => return Err(at.says(format_args!("unexpected {sign:?} in {context}"))),
            Token::Dot => (Term::Dot, vec![]),
            Token::Field { name, .. } => (Term::Fields, vec![name.clone()]),
            Token::Variable(name) => {
                self.known(name, at)?;
                (Term::Variable(name.clone()), vec![])
            }
            Token::Number(text) => {
                (constant(number(text).ok_or_else(|| at.says(format_args!("bad number syntax: {text:?}")))?, text), vec![])
            }
            Token::Char(c) => (constant(Value::Plain(i64::from(u32::from(*c))), &format!("{c:?}")), vec![]),
            Token::Str { value, source } => (constant(Value::Str(value.clone()), source), vec![]),
            Token::Word(word) => match word.as_str() {
                "true" => (constant(Value::Bool(true), word), vec![]),
                "false" => (constant(Value::Bool(false), word), vec![]),
                "nil" => (Term::Nil, vec![]),
                "if" | "else" | "end" | "range" | "with" | "define" | "template" | "block" => {
                    return Err(at.says(format_args!("unexpected <{word}> in {context}")));
                }
                name if funcs::is_known(name) => (Term::Function(name.to_owned()), vec![]),
                name => return Err(at.says(format_args!("function {name:?} not defined"))),
            },
        };
        words.next += 1;
        // Go places a chain at its second field
        let mut place = at;
        while let Some(Placed { token: Token::Field { name, joined: true }, at, .. }) = words.peek() {
            if fields.len() == usize::from(matches!(term, Term::Fields)) {
                place = *at;
            }
            fields.push(name.clone());
            words.next += 1;
        }
        Ok(Some(Operand { term, fields, at: place }))
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).and_then(|d| i64::from_str_radix(d, radix).ok());
    let whole = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)).or_else(|| digits.parse().ok());
    if let Some(value) = whole {
        return Some(Value::Plain(sign * value));
    }
    let float: f64 = plain.parse().ok()?;
    // a whole float is an integer constant too
    if float.fract() == 0.0 && float.abs() < 9e15 { Some(Value::Plain(float as i64)) } else { Some(Value::Float(float)) }
}

/// A position in the words of one action.
struct Words<'a> {
    tokens: &'a [Placed],
    next: usize,
    end: Place,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a Placed> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|t| t.token == *token);
        self.next += usize::from(found);
        found
    }

    fn place(&self) -> Place {
        self.peek().map_or(self.end, |t| t.at)
    }

    fn finish(&self, context: &str) -> Result<(), String> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(word.at.says(format_args!("unexpected {} in {context}", word.token.shown()))),
        }
    }
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Dot => "<.>".into(),
            Token::Field { name, .. } => format!("<.{name}>"),
            Token::Variable(name) => format!("{name:?}"),
            Token::Word(word) | Token::Number(word) => format!("{word:?}"),
            Token::Char(c) => format!("{c:?}"),
            Token::Str { source, .. } => source.clone(),
            Token::Sign(sign) => format!("{sign:?}"),
        }
    }
}
