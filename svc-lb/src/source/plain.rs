//! Reads the YAML that manifests are written in: block style, a key or an item a line, values of one line. That is
//! what `kubectl` prints and Helm renders, and a small part of YAML, which is read here many times as fast.
//!
//! Whatever else is there, or is wrong, is not judged: such a document has to be read by a parser of all of YAML.
//! What is read here, reads the same there.

mod node;
#[cfg(test)]
mod tests;

pub use node::Node;

/// How deep values may be nested.
const DEPTH: usize = 32;
/// How many keys a mapping may have: each is compared with all before it.
const KEYS: usize = 64;
/// How long a key may be. YAML itself allows 1,024 characters.
const KEY_LENGTH: usize = 256;

/// A document that was read.
#[derive(Debug)]
pub struct Plain<'a> {
    tokens: Vec<Token<'a>>,
    /// The text without its values: line by line what comes before a value, then the letter x. All keys and values
    /// are at the same places in it, and documents that differ in values alone have the same one.
    pub outline: String,
}

/// A key, or a value or its beginning. Keys and values of a mapping alternate.
#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    /// A mapping in so many tokens that follow.
    Mapping(usize),
    /// A list in so many tokens that follow.
    List(usize),
    Text(&'a str),
    Number(u64),
    Bool(bool),
    Null,
}

impl<'a> Plain<'a> {
    /// Reads a document whose value is a mapping; `None` if it cannot be judged here.
    pub fn read(text: &'a str) -> Option<Self> {
        // Other line breaks, tabs, and what YAML forbids.
        if !text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
            return None;
        }
        let (tokens, outline) = (Vec::new(), String::with_capacity(text.len()));
        let mut reader = Reader { rest: text, line: None, plain: Self { tokens, outline }, depth: 0 };
        reader.advance();
        if reader.line.is_some_and(|line| line == Line { indent: 0, content: "---" }) {
            reader.plain.outline.push_str("---");
            reader.advance();
        }
        reader.mapping(0)?;
        reader.line.is_none().then_some(reader.plain)
    }

    /// The value of the document.
    pub fn root(&self) -> Node<'_, 'a> {
        Node::new(&self.tokens)
    }
}

/// A line that is neither empty nor a comment, or the rest of one behind the dash of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line<'a> {
    /// In which column it starts, from 0.
    indent: usize,
    content: &'a str,
}

struct Reader<'a> {
    /// The lines after the present one.
    rest: &'a str,
    /// The present line, as far as it has not been read.
    line: Option<Line<'a>>,
    plain: Plain<'a>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Goes to the next line that says something.
    fn advance(&mut self) {
        if self.line.is_some() {
            self.plain.outline.push('\n');
        }
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            let content = line.trim_start_matches(' ');
            if !content.is_empty() && !content.starts_with('#') {
                let indent = line.len() - content.len();
                self.plain.outline.push_str(&line[..indent]);
                self.line = Some(Line { indent, content });
                return;
            }
            self.plain.outline.push('\n');
        }
        self.line = None;
    }

    /// Begins a mapping or a list, and returns its place.
    fn open(&mut self, token: Token<'a>) -> Option<usize> {
        self.depth += 1;
        self.plain.tokens.push(token);
        (self.depth <= DEPTH).then_some(self.plain.tokens.len())
    }

    /// Ends one, and returns in how many tokens it is.
    fn close(&mut self, start: usize) -> usize {
        self.depth -= 1;
        self.plain.tokens.len() - start
    }

    /// Reads a mapping whose keys start in a column.
    fn mapping(&mut self, indent: usize) -> Option<()> {
        let start = self.open(Token::Mapping(0))?;
        let mut keys = 0;
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            let (key, value) = split_key(line.content).filter(|_| line.indent == indent)?;
            keys += 1;
            let is_known = Node::new(&self.plain.tokens[start - 1..]).is_there(key);
            if is_known || keys > KEYS {
                return None;
            }
            self.plain.tokens.push(Token::Text(key));
            self.plain.outline.push_str(&line.content[..line.content.len() - value.len()]);
            if !value.is_empty() {
                self.value(value)?;
                self.advance();
                continue;
            }
            self.advance();
            match self.line {
                Some(line) if line.indent >= indent && line.content.starts_with("- ") => {
                    self.list(line.indent)?;
                }
                Some(line) if line.indent > indent => self.mapping(line.indent)?,
                _ => self.plain.tokens.push(Token::Null),
            }
        }
        self.plain.tokens[start - 1] = Token::Mapping(self.close(start));
        (keys > 0).then_some(())
    }

    /// Reads a list whose dashes are in a column.
    fn list(&mut self, indent: usize) -> Option<()> {
        let start = self.open(Token::List(0))?;
        // A key in the same column belongs to the mapping around.
        let is_item = |line: &Line<'_>| line.indent > indent || line.content.starts_with("- ");
        while let Some(line) = self.line.filter(|line| line.indent >= indent).filter(is_item) {
            let dash = line.content.strip_prefix("- ").filter(|_| line.indent == indent)?;
            let item = dash.trim_start_matches(' ');
            let before = line.content.len() - item.len();
            self.plain.outline.push_str(&line.content[..before]);
            if split_key(item).is_some() {
                let indent = indent + before;
                self.line = Some(Line { indent, content: item });
                self.mapping(indent)?;
            } else {
                self.value(item)?;
                self.advance();
            }
        }
        self.plain.tokens[start - 1] = Token::List(self.close(start));
        Some(())
    }

    /// Reads the value at the end of a line.
    fn value(&mut self, text: &'a str) -> Option<()> {
        let quoted = |quote| text[1..].strip_suffix(quote).filter(|it| !it.contains([quote, '\\']));
        let token = match text.bytes().next()? {
            b'"' => Token::Text(quoted('"')?),
            b'\'' => Token::Text(quoted('\'')?),
            b'{' if text == "{}" => Token::Mapping(0),
            b'[' if text == "[]" => Token::List(0),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'/' => plain_value(text)?,
            _ => return None,
        };
        let is_scalar = !matches!(token, Token::Mapping(_) | Token::List(_));
        self.plain.outline.push_str(if is_scalar { "x" } else { text });
        self.plain.tokens.push(token);
        Some(())
    }
}

/// Splits a line into a key and its value, which is empty if it is not on this line; `None` if it is another line.
fn split_key(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./-".contains(byte);
    let is_end = |at: usize| bytes[at] == b':' && matches!(bytes.get(at + 1), None | Some(b' '));
    let end = (0..bytes.len()).find(|&at| !is_key(&bytes[at]) && (bytes[at] != b':' || is_end(at)))?;
    let key = &line[..end];
    let is_text = bytes[0].is_ascii_alphabetic() && matches!(plain_value(key)?, Token::Text(_));
    (is_end(end) && is_text && end <= KEY_LENGTH).then(|| (key, line[end + 1..].trim_start_matches(' ')))
}

/// A value without quotes that starts with a letter, a digit, `_` or `/`.
fn plain_value(text: &str) -> Option<Token<'_>> {
    let bytes = text.as_bytes();
    let ends_within = |pair: [u8; 2]| pair == *b": " || pair == *b" #";
    let mut pairs = bytes.iter().zip(&bytes[1.min(bytes.len())..]).map(|(one, next)| [*one, *next]);
    if pairs.any(ends_within) || text.ends_with([':', ' ']) {
        return None;
    }
    Some(match text {
        "true" | "True" | "TRUE" => Token::Bool(true),
        "false" | "False" | "FALSE" => Token::Bool(false),
        "null" | "Null" | "NULL" => Token::Null,
        _ if !bytes.first()?.is_ascii_digit() => Token::Text(text),
        "0" => Token::Number(0),
        _ if bytes[0] != b'0' && bytes.len() < 19 && bytes.iter().all(u8::is_ascii_digit) => {
            Token::Number(text.parse().ok()?)
        }
        // Other numbers, which are few.
        _ if text.parse::<f64>().is_ok() => return None,
        _ if ["0x", "0o", "0b"].iter().any(|it| text.starts_with(it)) && !text.contains(['-', '.']) => {
            return None;
        }
        _ => Token::Text(text),
    })
}
