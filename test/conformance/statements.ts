// The normative statements of the MQTT standards by number, as their appendices B list them.

/** Section and how many statements it has; they are numbered from 1. */
type Sections = readonly (readonly [section: string, statements: number])[];

/** OASIS Standard MQTT 3.1.1, appendix B. */
const SECTIONS_3_1_1: Sections = [
  ['1.5.3', 3],
  ['2.2.2', 2],
  ['2.3.1', 7],
  ['3.1.0', 2],
  ['3.1.2', 24],
  ['3.1.3', 11],
  ['3.1.4', 5],
  ['3.2.0', 1],
  ['3.2.2', 6],
  ['3.3.1', 12],
  ['3.3.2', 3],
  ['3.3.4', 1],
  ['3.3.5', 2],
  ['3.6.1', 1],
  ['3.8.1', 1],
  ['3.8.3', 3],
  ['3.8.4', 6],
  ['3.9.3', 2],
  ['3.10.1', 1],
  ['3.10.3', 2],
  ['3.10.4', 6],
  ['3.12.4', 1],
  ['3.14.1', 1],
  ['3.14.4', 3],
  ['4.1.0', 2],
  ['4.3.1', 1],
  ['4.3.2', 2],
  ['4.3.3', 2],
  ['4.4.0', 1],
  ['4.5.0', 2],
  ['4.6.0', 6],
  ['4.7.1', 3],
  ['4.7.2', 1],
  ['4.7.3', 4],
  ['4.8.0', 2],
  ['6.0.0', 4],
  ['7.0.0', 2],
  ['7.1.1', 1],
  ['7.1.2', 1],
];

function numbered(prefix: string, sections: Sections): string[] {
  return sections.flatMap(([section, count]) => Array.from({ length: count }, (_, i) => `${prefix}-${section}-${i + 1}`));
}

/** The fourth statement of 3.8.3 bears a number of another form. */
export const MQTT_3_1_1: readonly string[] = [...numbered('MQTT', SECTIONS_3_1_1), 'MQTT-3-8.3-4'];
