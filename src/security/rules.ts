// Rules of profiles, converted to criteria: happn nests maps where criteria have names with dots.

type Map = Readonly<Record<string, unknown>>;

/** Maps within maps become names with dots; what has operators stays. */
export function criteriaOf(rule: Map): Record<string, unknown> {
  return flat(rule, '');
}

function flat(rule: Map, above: string): Record<string, unknown> {
  const terms: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rule)) {
    if (key.startsWith('$')) terms[key] = Array.isArray(value) ? value.map((part) => (isMap(part) ? flat(part, above) : part)) : value;
    else if (isMap(value) && !Object.keys(value).some((name) => name.startsWith('$'))) Object.assign(terms, flat(value, `${above}${key}.`));
    else terms[`${above}${key}`] = value;
  }
  return terms;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
