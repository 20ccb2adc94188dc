//! Lines of Rust as rustfmt sets them with its defaults.

/// Columns of a line at most.
const COLUMNS_MAX: usize = 100;

/// Columns of a call's arguments on one line at most.
const CALL_COLUMNS_MAX: usize = 60;

/// A text that grows line by line.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    level: usize,
}

impl Text {
    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// A line at the present indentation; empty ones have none.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if !line.is_empty() {
            self.text.extend(std::iter::repeat_n("    ", self.level));
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    /// An empty line, unless one is there or a block has just begun.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") && !self.text.ends_with("{\n") {
            self.text.push('\n');
        }
    }

    /// A line that ends with `{`, or another opening.
    pub(crate) fn open(&mut self, line: impl AsRef<str>) {
        self.line(line);
        self.level += 1;
    }

    /// A line that begins with the closing.
    pub(crate) fn close(&mut self, line: impl AsRef<str>) {
        self.level = self.level.saturating_sub(1);
        self.line(line);
    }

    /// Ends an indentation that no line closes.
    pub(crate) fn close_without_line(&mut self) {
        self.level = self.level.saturating_sub(1);
    }

    /// Documentation: paragraphs of lines.
    pub(crate) fn docs(&mut self, paragraphs: &[Vec<String>]) {
        let mut first = true;
        for paragraph in paragraphs.iter().filter(|paragraph| !paragraph.is_empty()) {
            if !std::mem::replace(&mut first, false) {
                self.line("///");
            }
            for line in paragraph {
                self.line(format!("/// {line}").trim_end());
            }
        }
    }

    /// One line of documentation.
    pub(crate) fn doc(&mut self, line: impl Into<String>) {
        self.docs(&[vec![line.into()]]);
    }

    /// A function's head, up to its `{` or `;`.
    pub(crate) fn signature(&mut self, name: &str, parameters: &[String], rest: &str) {
        let one = format!("{name}({}){rest}", parameters.join(", "));
        if self.fits(&one) {
            self.line(one);
        } else {
            self.open(format!("{name}("));
            parameters.iter().for_each(|parameter| self.line(format!("{parameter},")));
            self.close(format!("){rest}"));
        }
        if rest.ends_with('{') {
            self.level += 1;
        }
    }

    /// `before`, a call, `after`: on one line, or with each argument on its own.
    pub(crate) fn call(&mut self, before: &str, call: &Call, after: &str) {
        let one = format!("{before}{}{after}", call.one_line());
        if call.arguments.join(", ").chars().count() <= CALL_COLUMNS_MAX && self.fits(&one) {
            return self.line(one);
        }
        if let Some((closure, others)) = call.arguments.split_last()
            && let Some((parameters, body)) = closure.strip_prefix('|').and_then(|rest| rest.split_once("| "))
        {
            let others: String = others.iter().map(|other| format!("{other}, ")).collect();
            self.open(format!("{before}{}({others}|{parameters}| {{", call.function));
            self.line(body);
            return self.close(format!("}}){after}"));
        }
        self.open(format!("{before}{}(", call.function));
        call.arguments.iter().for_each(|argument| self.line(format!("{argument},")));
        self.close(format!("){after}"));
    }

    /// The head of an implementation.
    pub(crate) fn implementation(&mut self, of: &str, name: &str) {
        let one = format!("impl {of} for {name} {{");
        if self.fits(&one) {
            return self.open(one);
        }
        self.line(format!("impl {of}"));
        self.line(format!("    for {name}"));
        self.open("{");
    }

    /// A binding, whose value goes onto a line of its own where one line is too short.
    pub(crate) fn binding(&mut self, name: &str, value: &str) {
        let one = format!("let {name} = {value};");
        if self.fits(&one) {
            return self.line(one);
        }
        self.open(format!("let {name} ="));
        self.line(format!("{value};"));
        self.close_without_line();
    }

    /// Alternatives, on one line or each on its own.
    pub(crate) fn any(&mut self, before: &str, conditions: &[String], after: &str) {
        let one = format!("{before}{}{after}", conditions.join(" || "));
        if self.fits(&one) || conditions.len() < 2 {
            return self.line(one);
        }
        let last = conditions.len() - 1;
        for (index, condition) in conditions.iter().enumerate() {
            let end = if index == last { after } else { "" };
            if index == 0 {
                self.line(format!("{before}{condition}{end}"));
                self.level += 1;
            } else {
                self.line(format!("|| {condition}{end}"));
            }
        }
        self.level -= 1;
    }

    fn fits(&self, line: &str) -> bool {
        4 * self.level + line.chars().count() <= COLUMNS_MAX
    }
}

/// A call of a function.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) arguments: Vec<String>,
}

impl Call {
    pub(crate) fn new<const N: usize>(function: impl Into<String>, arguments: [String; N]) -> Self {
        Self { function: function.into(), arguments: arguments.into() }
    }

    pub(crate) fn one_line(&self) -> String {
        format!("{}({})", self.function, self.arguments.join(", "))
    }
}

/// A comment's lines as documentation: as plain text, so that nothing in them is taken for a link, a list or code.
pub(crate) fn plain(docs: &[String]) -> Vec<String> {
    docs.iter().map(|line| plain_line(line)).filter(|line| !line.is_empty()).collect()
}

fn plain_line(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let address = word.trim_matches(['<', '>', '(', ')', '"', '\'']).trim_end_matches(['.', ',']);
        if address.starts_with("http://") || address.starts_with("https://") {
            let safe = |c: char| c.is_ascii_graphic() && !"<>`\\\"|{}^".contains(c);
            return if address.chars().all(safe) {
                format!("<{address}>")
            } else {
                format!("`{}`", address.replace('`', "'"))
            };
        }
        let mut plain = String::with_capacity(word.len());
        for c in word.chars().filter(|c| !c.is_control()) {
            if "\\`*[]<>|~#$&".contains(c) {
                plain.push('\\');
            }
            plain.push(c);
        }
        plain
    });
    let line = words.collect::<Vec<_>>().join(" ");
    match line.chars().next() {
        Some('-' | '+' | '=' | '_') => format!("\\{line}"),
        // `1.` and `1)` would begin a list.
        Some('0'..='9') => {
            let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
            match line.get(digits..) {
                Some(rest) if rest.starts_with(['.', ')']) => format!("{}\\{rest}", &line[..digits]),
                _ => line,
            }
        }
        _ => line,
    }
}
