//! Go's `text/template`, as much of it as listing a block's meta needs: fields, methods without arguments, variables,
//! pipelines, `if`, `with`, `range`, `define`, `template`, `block`, the comparison functions, `and`, `or`, `not`,
//! `len`, `index`, `slice`, `print*`, `html`, `js`, `urlquery`.
//!
//! Left out: `call` (there are no function values), complex numbers, methods with arguments except `Time.Format`.
//! Errors read as Go's do, with line and column.

mod eval;
mod funcs;
mod lex;
mod meta;
mod parse;
mod printf;
mod value;

use std::collections::HashMap;

pub(crate) use meta::block_value;
use value::Value;

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    root: Vec<parse::Node>,
    defined: HashMap<String, Vec<parse::Node>>,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// Says what is wrong and in which line.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        parse::parse(text)
    }

    /// The text for `data`.
    ///
    /// # Errors
    /// Says which expression failed and why; what was printed before is lost.
    pub(crate) fn execute(&self, data: &Value) -> Result<String, String> {
        eval::execute(self, data)
    }
}

#[cfg(test)]
mod tests {
    use super::value::{Struct, Time};
    use super::*;

    fn data() -> Value {
        let stats = Struct::new("tsdb.BlockStats").field("NumSamples", Value::Uint(1500)).field("NumSeries", Value::Uint(7));
        let labels =
            Value::Map([("cluster".into(), Value::Str("eu1".into())), ("replica".into(), Value::Str("a".into()))].into());
        let id = |text: &str| Value::Struct(Struct::new("ulid.ULID").shown(text).method("String", Value::Str(text.into())));
        Value::Struct(
            Struct::new("*metadata.Meta")
                .shown("01X (min time: 5, max time: 9)")
                .field("ULID", id("01X"))
                .field("MinTime", Value::Int(5))
                .field("MaxTime", Value::Int(9))
                .field("Stats", Value::Struct(stats))
                .field("Labels", labels)
                .field("Failed", Value::Bool(false))
                .field("Source", Value::Str("side<car>".into()))
                .field("Sources", Value::List(vec![id("01A"), id("01B")]))
                .field("None", Value::List(vec![]))
                .field("Nil", Value::Nil)
                .field("At", Value::Time(Time { nanos: 1_767_571_200_123_000_000 })),
        )
    }

    fn check(template: &str, expected: &str) {
        let text = Template::parse(template).and_then(|t| t.execute(&data()));
        assert_eq!(text.as_deref(), Ok(expected), "{template}");
    }

    fn fails(template: &str, expected: &str) {
        let text = Template::parse(template).and_then(|t| t.execute(&data()));
        assert_eq!(text.as_ref().map_err(String::as_str), Err(expected), "{template}");
    }

    #[test]
    fn fields_and_printing() {
        check("{{.ULID}} {{.Stats.NumSamples}} {{len .Sources}}", "01X 1500 2");
        check(
            "{{.}}|{{.Stats}}|{{.Labels}}|{{.Sources}}|{{.Failed}}|{{.None}}|{{.Nil}}",
            "01X (min time: 5, max time: 9)|{1500 7}|map[cluster:eu1 replica:a]|[01A 01B]|false|[]|<nil>",
        );
        check("{{.ULID.String}}", "01X");
        check("{{.At}} {{.At.Unix}}", "2026-01-05 00:00:00.123 +0000 UTC 1767571200");
        check(r#"{{.At.Format "2006-01-02T15:04:05Z07:00 Jan _2 3PM"}}"#, "2026-01-05T00:00:00Z Jan  5 12AM");
        check("{{.Labels.cluster}} {{.Labels.absent}}", "eu1 <no value>");
    }

    #[test]
    fn trimming_comments_and_raw_text() {
        check("a {{- /* nothing */ -}} b", "ab");
        check("a\n {{- .MinTime -}} \n b", "a5b");
        check("{{`raw {{`}}", "raw {{");
        check("{ {}}", "{ {}}");
    }

    #[test]
    fn control() {
        check("{{if .Failed}}bad{{else if gt .MinTime 9}}late{{else}}fine{{end}}", "fine");
        check("{{range $i, $s := .Sources}}{{if $i}},{{end}}{{$i}}={{$s}}{{end}}", "0=01A,1=01B");
        check("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "cluster=eu1;replica=a;");
        check("{{range .None}}x{{else}}empty{{end}}", "empty");
        check("{{range .Sources}}{{.}}{{break}}{{end}}", "01A");
        check("{{range .Sources}}{{continue}}{{.}}{{end}}", "");
        check("{{range 3}}{{.}}{{end}}{{range $i := .MinTime}}{{$i}}{{end}}", "01201234");
        check("{{with .Labels.cluster}}<{{.}}>{{end}}{{with .Nil}}x{{else}}none{{end}}", "<eu1>none");
        check("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}} {{$.MinTime}}", "2 5");
        check(r#"{{define "d"}}[{{.}}]{{end}}{{template "d" .MinTime}}{{block "e" .MaxTime}}({{.}}){{end}}"#, "[5](9)");
    }

    #[test]
    fn functions() {
        check("{{eq .MinTime 5}} {{ne .MinTime 5}} {{lt .MinTime .MaxTime}} {{eq .Stats.NumSeries 1 7}}", "true false true true");
        check("{{and .MinTime .Failed}} {{or .Failed .MinTime}} {{not .Failed}}", "false 5 true");
        check(r#"{{index .Labels "replica"}} {{index .Sources 1}} {{slice "abcd" 1 3}}"#, "a 01B bc");
        check(
            r#"{{printf "%s %d %5d|%-5d|%05d %q %v %x %t %.2f %%" .ULID .MinTime 7 7 7 "a" .Stats 255 true 1.5}}"#,
            "01X 5     7|7    |00007 \"a\" {1500 7} ff true 1.50 %",
        );
        check(r#"{{.Source | printf "%s-%s" "x"}} {{print 1 2 "a" "b" 3}} {{println "x"}}"#, "x-side<car> 1 2ab3 x\n");
        check("{{html .Source}} {{js .Source}} {{urlquery .Source}}", "side&lt;car&gt; side\\u003Ccar\\u003E side%3Ccar%3E");
        check(r#"{{printf "%d %d" 1}} {{printf "%d" "a"}} {{printf "x" 1}}"#, "1 %!d(MISSING) %!d(string=a) x%!(EXTRA int=1)");
        check("{{len .Labels}} {{len \"abc\"}} {{(index .Sources 0).String | len}}", "2 3 3");
    }

    #[test]
    fn errors_as_go_says_them() {
        fails("{{.Foo}}", "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *metadata.Meta");
        fails("{{.MinTime.X}}", "template: :1:10: executing \"\" at <.MinTime.X>: can't evaluate field X in type int64");
        fails(
            "{{index .Sources 5}}",
            "template: :1:2: executing \"\" at <index .Sources 5>: error calling index: index out of range: 5",
        );
        fails("{{len 3}}", "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int");
        fails(
            "{{eq 1 \"a\"}}",
            "template: :1:2: executing \"\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison",
        );
        fails("{{nope}}", "template: :1: function \"nope\" not defined");
        fails("{{.A", "template: :1: unclosed action");
        fails("{{if .A}}", "template: :1: unexpected EOF");
        fails("{{end}}", "template: :1: unexpected {{end}}");
        fails("{{$x}}", "template: :1: undefined variable \"$x\"");
        fails("{{range .MinTime}}{{.X}}{{end}}", "template: :1:20: executing \"\" at <.X>: can't evaluate field X in type int64");
        fails("{{template \"x\"}}", "template: :1:11: executing \"\" at <{{template \"x\"}}>: template \"x\" not defined");
    }

    #[test]
    fn no_text_makes_it_panic_or_recurse_for_ever() {
        let pieces = [
            "{{", "}}", ".", "$x", ":=", "range", "if", "end", "\"", "`", "(", ")", "|", "printf", "%", "-", " ", "5", "'", "a",
            "\\", "else",
        ];
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..(state >> 60) + 2 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            let _ = Template::parse(&text).and_then(|t| t.execute(&data()));
        }
        assert!(Template::parse(&format!("{{{{{}1}}}}", "(".repeat(100_000))).is_err());
        let endless = Template::parse("{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}").unwrap();
        assert!(endless.execute(&data()).unwrap_err().contains("exceeded maximum template depth"));
    }
}
