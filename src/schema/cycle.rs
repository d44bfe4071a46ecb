//! References that lead in a circle, and ways through a schema that are too long for the stack.
//!
//! At `properties`, `items` and their like validation goes a step down in the data; at `$ref`, `allOf` and their like it stays
//! where it is. Data has a bounded depth, so only a way of the second kind can be without end. All of them are followed here, so
//! that validation takes at most [`STEPS_MAX`] steps at each level of the data.

use std::collections::{HashMap, HashSet};

use jsonschema::{Draft, Registry, RegistryBuilder, Uri};
use referencing::{Resolver, ResourceRef};
use serde_json::Value;

use crate::diag::catalogue::schema as codes;
use crate::schema::walk::join;
use crate::schema::{Documents, SchemaProblem, document};

/// Schemas that may be asked one after the other about the same value. Tests show that the stack holds so many at each level of
/// the deepest data.
pub(super) const STEPS_MAX: usize = 12;

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose schemas are asked about the same value.
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SINGLE: [&str; 4] = ["not", "if", "then", "else"];
const NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];

/// The circles and the ways that are too long in `value` and in all that it refers to.
pub(super) fn problems(value: &Value, base: &str, documents: &Documents) -> Vec<SchemaProblem> {
    if is_plain(value, STEPS_MAX) {
        return Vec::new();
    }
    let own = document::uri(base);
    let registry = Registry::new()
        .retriever(documents.retriever())
        .add(&own, value)
        .and_then(RegistryBuilder::prepare);
    // What cannot be read here cannot be compiled either, and the compiler says why.
    let (Ok(registry), Ok(uri)) = (registry, Uri::parse(own.clone())) else {
        return Vec::new();
    };
    let resolver = registry.resolver(uri);
    let mut search = Search::default();
    let Ok(root) = resolver.lookup("") else {
        return Vec::new();
    };
    let (schema, inner, draft) = root.into_inner();
    search.everything(Place {
        schema,
        resolver: inner,
        draft,
    });
    if search.circles.is_empty() && search.too_long.is_none() {
        return Vec::new();
    }
    let places = places(&resolver, &own, documents);
    let circles = search.circles.iter().map(|circle| told(circle, &places));
    let mut problems: Vec<SchemaProblem> = Vec::new();
    for problem in circles.chain(search.too_long.map(|schema| too_long(schema, &places))) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Whether `value` has neither references nor more than `levels` levels, so that there is nothing to follow.
fn is_plain(value: &Value, levels: usize) -> bool {
    let below = |value: &Value| levels > 0 && is_plain(value, levels - 1);
    match value {
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| !REFERENCES.contains(&&**key) && below(value)),
        Value::Array(list) => list.iter().all(below),
        _ => true,
    }
}

/// A schema, and how references in it are read.
struct Place<'r> {
    schema: &'r Value,
    resolver: Resolver<'r>,
    draft: Draft,
}

/// A step to a schema that is asked about the same value.
struct Step<'r> {
    /// Where it is taken.
    from: &'r Value,
    /// The keyword of the reference and what it says, where it is one.
    reference: Option<(&'static str, &'r str)>,
}

#[derive(Default)]
struct Search<'r> {
    /// The steps so far, and where on the way each schema stands.
    path: Vec<Step<'r>>,
    on_path: HashMap<*const Value, usize>,
    /// Of schemas that are done: the steps that may follow.
    heights: HashMap<*const Value, usize>,
    /// The references of each circle: the schema in which one stands, its keyword, what it says.
    circles: Vec<Vec<(&'r Value, &'static str, &'r str)>>,
    too_long: Option<&'r Value>,
}

impl<'r> Search<'r> {
    /// Follows every way from every schema in `root` and in what it refers to.
    fn everything(&mut self, root: Place<'r>) {
        let mut seen = HashSet::new();
        let mut waiting = vec![root];
        while let Some(place) = waiting.pop() {
            if !seen.insert(std::ptr::from_ref(place.schema)) {
                continue;
            }
            self.follow(&place);
            let children = place.draft.subresources_of(place.schema);
            waiting.extend(children.filter_map(|child| place.below(child)));
            waiting.extend(place.steps().into_iter().map(|(_, target)| target));
        }
    }

    /// How many steps may follow at `place`.
    fn follow(&mut self, place: &Place<'r>) -> usize {
        let address = std::ptr::from_ref(place.schema);
        if let Some(start) = self.on_path.get(&address) {
            let steps = self.path[*start..].iter();
            let references = steps.filter_map(|step| {
                let (keyword, text) = step.reference?;
                Some((step.from, keyword, text))
            });
            self.circles.push(references.collect());
            return 0;
        }
        let known = self.heights.get(&address).copied();
        if self.path.len() + known.unwrap_or_default() > STEPS_MAX {
            self.too_long = self.too_long.or(Some(place.schema));
            return 0;
        }
        if let Some(height) = known {
            return height;
        }
        self.on_path.insert(address, self.path.len());
        let mut height = 0;
        for (reference, target) in place.steps() {
            let from = place.schema;
            self.path.push(Step { from, reference });
            height = height.max(1 + self.follow(&target));
            self.path.pop();
        }
        self.on_path.remove(&address);
        self.heights.insert(address, height);
        height
    }
}

impl<'r> Place<'r> {
    /// The schema `child` of this one.
    fn below(&self, child: &'r Value) -> Option<Place<'r>> {
        if !child.is_object() {
            return None;
        }
        let draft = self.draft.detect(child);
        let resolver = self.resolver.in_subresource(ResourceRef::new(child, draft));
        Some(Place {
            schema: child,
            resolver: resolver.ok()?,
            draft,
        })
    }

    /// The schemas that are asked about the same value next, each with the reference that leads to it.
    fn steps(&self) -> Vec<(Option<(&'static str, &'r str)>, Place<'r>)> {
        let mut steps = Vec::new();
        for keyword in REFERENCES {
            let Some(text) = self.schema.get(keyword).and_then(Value::as_str) else {
                continue;
            };
            let target = match keyword {
                "$recursiveRef" => self.resolver.lookup_recursive_ref(),
                _ => self.resolver.lookup(text),
            };
            if let Ok(target) = target {
                let (schema, resolver, draft) = target.into_inner();
                let place = Place {
                    schema,
                    resolver,
                    draft,
                };
                steps.push((Some((keyword, text)), place));
            }
        }
        let alone = matches!(self.draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
        if alone && !steps.is_empty() {
            return steps;
        }
        let at = |keyword: &&str| self.schema.get(*keyword);
        let lists = LISTS.iter().filter_map(at).filter_map(Value::as_array);
        let named = NAMED.iter().filter_map(at).filter_map(Value::as_object);
        let children = lists
            .flatten()
            .chain(SINGLE.iter().filter_map(at))
            .chain(named.flat_map(serde_json::Map::values));
        steps.extend(children.filter_map(|child| Some((None, self.below(child)?))));
        steps
    }
}

/// Where the parts of all documents stand: the document's name, none for the schema itself, and a JSON Pointer.
type Places = HashMap<*const Value, (Option<String>, String)>;

fn places(resolver: &Resolver<'_>, own: &str, documents: &Documents) -> Places {
    let mut places = Places::new();
    let names = documents.names().filter(|name| document::uri(name) != own);
    let roots = std::iter::once(None).chain(names.map(Some));
    for name in roots {
        let uri = name.map_or_else(|| own.to_owned(), document::uri);
        if let Ok(root) = resolver.lookup(&uri) {
            add_places(root.contents(), name, String::new(), &mut places);
        }
    }
    places
}

fn add_places(value: &Value, name: Option<&str>, pointer: String, places: &mut Places) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                add_places(value, name, join(&pointer, key), places);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                add_places(value, name, join(&pointer, &index.to_string()), places);
            }
        }
        _ => return,
    }
    let place = (name.map(str::to_owned), pointer);
    places.insert(std::ptr::from_ref(value), place);
}

/// A circle, told from the first of its places, wherever the search has entered it.
fn told(circle: &[(&Value, &'static str, &str)], places: &Places) -> SchemaProblem {
    let place = |schema: &Value| {
        let place = places.get(&std::ptr::from_ref(schema));
        place.cloned().unwrap_or_default()
    };
    let first = (0..circle.len()).min_by_key(|index| place(circle[*index].0));
    let mut references = circle.to_vec();
    references.rotate_left(first.unwrap_or_default());
    let words: Vec<String> = references
        .iter()
        .map(|(_, _, text)| format!("`{text}`"))
        .collect();
    let message = match words.as_slice() {
        [one] => format!("{one} leads back to where it stands without looking into the data"),
        words => format!(
            "these references lead in a circle without looking into the data: {}, and back",
            words.join(", ")
        ),
    };
    let (document, pointer) = references
        .first()
        .map(|(schema, keyword, _)| {
            let (document, pointer) = place(schema);
            (document, join(&pointer, keyword))
        })
        .unwrap_or_default();
    let help = "say what is expected instead; a schema may refer to itself below `properties` or `items`, where each step goes down in the data";
    let mut problem = SchemaProblem::new(&codes::CIRCULAR_REFERENCE, &pointer, message).help(help);
    problem.document = document;
    problem
}

fn too_long(schema: &Value, places: &Places) -> SchemaProblem {
    let place = places.get(&std::ptr::from_ref(schema));
    let (document, pointer) = place.cloned().unwrap_or_default();
    let message = format!(
        "it takes more than {STEPS_MAX} steps of `$ref`, `allOf` and the like to get here, all about the same value"
    );
    let help = "refer to this schema directly, or put what the steps say into fewer schemas";
    let mut problem = SchemaProblem::new(&codes::TOO_COMPLEX, &pointer, message).help(help);
    problem.document = document;
    problem
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use crate::schema::cycle::STEPS_MAX;
    use crate::schema::{Documents, Schema};

    /// The deepest data that the protocol lets in.
    const DEPTH_MAX: usize = 127;

    fn documents() -> Documents {
        Documents::new([
            ("schemas/a.json".to_owned(), json!({"$ref": "b.json"})),
            (
                "schemas/b.json".to_owned(),
                json!({"anyOf": [{"type": "null"}, {"$ref": "a.json"}]}),
            ),
        ])
    }

    fn problems(value: &Value) -> Vec<String> {
        let compiled = Schema::compile(value.clone(), "schemas/own.json", &documents());
        let problems = compiled.err().unwrap_or_default();
        let told = problems.into_iter().map(|problem| {
            let document = problem.document.unwrap_or_default();
            let code = problem.code.slug;
            format!("{code} {document}#{} {}", problem.pointer, problem.message)
        });
        told.collect()
    }

    #[test]
    fn circles_are_found_and_told_from_one_place() {
        let alone = |pointer: &str, reference: &str| {
            format!(
                "schema/circular-reference #{pointer} `{reference}` leads back to where it stands without looking into the data"
            )
        };
        let several = |place: &str, references: &str| {
            format!(
                "schema/circular-reference {place} these references lead in a circle without looking into the data: {references}, and back"
            )
        };
        for (value, told) in [
            (json!({"$ref": "#"}), alone("/$ref", "#")),
            (json!({"$ref": "own.json"}), alone("/$ref", "own.json")),
            (
                json!({"type": "object", "allOf": [{"not": {"$ref": "#"}}]}),
                alone("/allOf/0/not/$ref", "#"),
            ),
            (
                json!({"properties": {"a": {"if": true, "then": {"$ref": "#/properties/a"}}}}),
                alone("/properties/a/then/$ref", "#/properties/a"),
            ),
            (
                json!({"dependentSchemas": {"a": {"oneOf": [{"$ref": "#"}]}}}),
                alone("/dependentSchemas/a/oneOf/0/$ref", "#"),
            ),
            (
                json!({"$dynamicAnchor": "node", "else": {"$dynamicRef": "#node"}, "if": true}),
                alone("/else/$dynamicRef", "#node"),
            ),
            (
                json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "anyOf": [{"$recursiveRef": "#"}]}),
                alone("/anyOf/0/$recursiveRef", "#"),
            ),
            (
                json!({"$id": "other.json", "allOf": [{"$ref": "other.json"}]}),
                alone("/allOf/0/$ref", "other.json"),
            ),
            (
                json!({"$defs": {"b": {"$ref": "#/$defs/c"}, "a": {"$ref": "#/$defs/b"}, "c": {"$ref": "#/$defs/a"}}}),
                several("#/$defs/a/$ref", "`#/$defs/b`, `#/$defs/c`, `#/$defs/a`"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "b.json"}}}),
                several("schemas/a.json#/$ref", "`b.json`, `a.json`"),
            ),
        ] {
            assert_eq!(problems(&value), [told], "{value}");
        }
    }

    #[test]
    fn recursion_into_the_data_is_no_circle() {
        for value in [
            json!({"type": "object", "properties": {"child": {"$ref": "#"}}}),
            json!({"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "string"}]}}),
            json!({"additionalProperties": {"$ref": "#"}, "propertyNames": {"$ref": "#/$defs/name"}, "$defs": {"name": {"minLength": 1}}}),
            json!({"$dynamicAnchor": "node", "prefixItems": [{"$dynamicRef": "#node"}]}),
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"$ref": "#/definitions/b", "allOf": [{"$ref": "#/definitions/a"}]}, "b": {"type": "null"}}}),
            json!({"const": {"$ref": "#"}}),
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "object"}}}),
        ] {
            assert_eq!(problems(&value), Vec::<String>::new(), "{value}");
        }
    }

    /// A schema that takes `steps` steps at each level of the data, and refers to itself one level down.
    fn recursive(steps: usize, keyword: &str) -> Value {
        let mut last = json!({
            "type": ["object", "array"],
            "properties": {"a": {"$ref": "#"}},
            "items": {"$ref": "#"},
            "unevaluatedProperties": false,
        });
        // The reference is the first step.
        for _ in 1..steps {
            last = match keyword {
                "if" => json!({"if": true, "then": last}),
                _ => json!({keyword: [last]}),
            };
        }
        last
    }

    /// As [`recursive`], over references alone.
    fn chained(steps: usize) -> Value {
        let mut definitions = Map::new();
        for step in 1..steps {
            let next = json!({"$ref": format!("#/$defs/{}", step + 1)});
            definitions.insert(step.to_string(), next);
        }
        let first = json!({"$ref": "#/$defs/1"});
        let last = json!({"properties": {"a": first}, "items": first, "unevaluatedProperties": false, "type": ["object", "array"]});
        definitions.insert(steps.to_string(), last);
        json!({"$ref": "#/$defs/1", "$defs": definitions})
    }

    #[test]
    fn the_stack_holds_the_longest_way_through_the_deepest_data() {
        for keyword in ["$ref", "allOf", "anyOf", "oneOf", "if"] {
            let build = |steps| match keyword {
                "$ref" => chained(steps),
                keyword => recursive(steps, keyword),
            };
            let told = problems(&build(STEPS_MAX + 1));
            assert!(
                told.len() == 1 && told[0].starts_with("schema/too-complex"),
                "{keyword}: {told:?}"
            );
            let schema = Schema::compile(build(STEPS_MAX), "schemas/own.json", &documents());
            let schema = schema.expect("the longest way that is allowed");
            for inmost in [json!(5), json!([])] {
                let fits = inmost != json!(5);
                let data = (0..DEPTH_MAX).fold(inmost, |data, level| match level % 2 {
                    0 => json!({"a": data}),
                    _ => json!([data]),
                });
                // As large as the stack of a worker thread of the server.
                let thread = std::thread::Builder::new().stack_size(2 << 20);
                let answer = std::thread::scope(|scope| {
                    let run = thread.spawn_scoped(scope, || schema.check(&data).is_ok());
                    run.expect("a thread").join().expect("an answer")
                });
                assert_eq!(answer, fits, "{keyword}");
            }
        }
    }
}
