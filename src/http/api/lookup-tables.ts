// Lookup tables, as administrators see and change them. Groups define who uses them.

import { type LookupTable, RequestError } from '../../core/index.js';
import type { Administration } from './administration.js';
import { type Call, done, isoTime, made, NOTHING, type Operation, operation, type Result } from './operation.js';
import { pageOf } from './paging.js';
import * as schema from './schemas.js';

const TAG = 'lookup tables';
const tableAnswer = { description: 'The table, without its paths.', schema: schema.table };

export const LOOKUP_TABLES: readonly Operation[] = [
  operation({
    method: 'get',
    path: '/lookup-tables',
    id: 'listLookupTables',
    tag: TAG,
    summary: 'Lists lookup tables in order of their names.',
    query: schema.page,
    body: null,
    answers: { 200: { description: 'A page of tables.', schema: schema.tables } },
    run: ({ house, query: { limit, after } }) => {
      const { items, next } = pageOf(house.directory.lookupTables(), ({ name }) => name, after, limit);
      return done({ lookupTables: items.map((table) => shownTable(house, table)), next });
    },
  }),
  operation({
    method: 'get',
    path: '/lookup-tables/{name}',
    id: 'getLookupTable',
    tag: TAG,
    summary: 'Returns a lookup table.',
    query: null,
    body: null,
    answers: { 200: tableAnswer },
    run: ({ house, params }) => done(shownTable(house, tableNamed(house, params))),
  }),
  operation({
    method: 'get',
    path: '/lookup-tables/{name}/paths',
    id: 'listLookupPaths',
    tag: TAG,
    summary: 'Lists the paths of a lookup table, in order.',
    query: schema.pathPage,
    body: null,
    answers: { 200: { description: 'A page of paths.', schema: schema.tablePathList } },
    run: ({ house, params, query: { limit, after } }) => {
      const { items, next } = pageOf(tableNamed(house, params).paths, (path) => path, after, limit);
      return done({ paths: items, next });
    },
  }),
  operation({
    method: 'put',
    path: '/lookup-tables/{name}',
    id: 'putLookupTable',
    tag: TAG,
    summary: 'Creates a lookup table, or replaces all its paths.',
    query: null,
    body: schema.putTable,
    answers: { 200: tableAnswer, 201: { ...tableAnswer, description: 'The new table.' } },
    run: async ({ house, caller, params, body: { paths } }) => {
      const name = params['name'] as string;
      const isNew = house.directory.lookupTable(name) === null;
      await house.change({ type: 'putTable', name, paths, when: 'any' }, caller);
      const table = shownTable(house, tableNamed(house, params));
      return isNew ? made(table) : done(table);
    },
  }),
  operation({
    method: 'patch',
    path: '/lookup-tables/{name}',
    id: 'patchLookupTable',
    tag: TAG,
    summary: 'Adds and removes paths of a lookup table.',
    query: null,
    body: schema.patchTable,
    answers: { 200: tableAnswer },
    run: async ({ house, caller, params, body: { add = [], remove = [] } }) => {
      await house.change({ type: 'changeTable', name: params['name'] as string, add, remove }, caller);
      return done(shownTable(house, tableNamed(house, params)));
    },
  }),
  operation({
    method: 'delete',
    path: '/lookup-tables/{name}',
    id: 'deleteLookupTable',
    tag: TAG,
    summary: 'Deletes a lookup table. Lookups in it allow nothing any more.',
    query: null,
    body: null,
    answers: { 204: { description: 'It is deleted.', schema: null } },
    run: (call) => drop(call),
  }),
];

async function drop({ house, caller, params }: Call<null, null>): Promise<Result> {
  await house.change({ type: 'deleteTable', name: params['name'] as string }, caller);
  return NOTHING;
}

function tableNamed({ directory }: Administration, params: Readonly<Record<string, string>>): LookupTable {
  const name = params['name'] as string;
  const table = directory.lookupTable(name);
  if (table === null) throw new RequestError('NOT_FOUND', `there is no lookup table ${name}`);
  return table;
}

function shownTable({ directory }: Administration, { name, paths, created, modified }: LookupTable): object {
  return { name, paths: paths.size, groups: directory.groupsLookingUpIn(name), created: isoTime(created), modified: isoTime(modified) };
}
