import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import registry from '../fingerprints.json' with { type: 'json' }
import { canonicalForm, crc64Avro, fingerprintOf } from './fingerprint.ts'
import { readSchema } from '../testing/avsc-form.ts'

/** Input, canonical form (null: the input's own), fingerprint: from Apache Avro's share/test/data/schema-tests.txt. */
const published: readonly [schema: unknown, canonical: string, fingerprint: bigint][] = [
  ['null', '"null"', 7195948357588979594n],
  ['boolean', '"boolean"', -6970731678124411036n],
  [{ type: 'int' }, '"int"', 8247732601305521295n],
  ['long', '"long"', -3434872931120570953n],
  ['double', '"double"', -8181574048448539266n],
  ['bytes', '"bytes"', 5746618253357095269n],
  ['string', '"string"', -8142146995180207161n],
  [['int', { type: 'boolean' }], '["int","boolean"]', 5392556393470105090n],
  [
    { fields: [], type: 'record', name: 'a.b.foo', namespace: 'x.y' },
    '{"name":"a.b.foo","type":"record","fields":[]}',
    -4616218487480524110n,
  ],
  [
    { fields: [], type: 'record', name: 'foo', doc: 'foo', aliases: ['foo', 'bar'] },
    '{"name":"foo","type":"record","fields":[]}',
    -4824392279771201922n,
  ],
  [
    { fields: [{ type: { type: 'boolean' }, name: 'f1' }], type: 'record', name: 'foo' },
    '{"name":"foo","type":"record","fields":[{"name":"f1","type":"boolean"}]}',
    7843277075252814651n,
  ],
  [
    { namespace: 'x.y.z', type: 'enum', name: 'foo', doc: 'foo bar', symbols: ['A1', 'A2'] },
    '{"name":"x.y.z.foo","type":"enum","symbols":["A1","A2"]}',
    -4448647247586288245n,
  ],
  [
    { namespace: 'x.y.z', type: 'fixed', name: 'foo', doc: 'foo bar', size: 32 },
    '{"name":"x.y.z.foo","type":"fixed","size":32}',
    -3064184465700546786n,
  ],
  [{ items: { type: 'null' }, type: 'array' }, '{"type":"array","items":"null"}', -589620603366471059n],
  [
    {
      name: 'PigValue',
      type: 'record',
      fields: [{ name: 'value', type: ['null', 'int', 'long', 'PigValue'] }],
    },
    '{"name":"PigValue","type":"record","fields":[{"name":"value","type":["null","int","long","PigValue"]}]}',
    -1759257747318642341n,
  ],
]

const files = readdirSync(new URL('..', import.meta.url)).filter((name) => name.endsWith('.avsc'))

describe('CRC-64-AVRO', () => {
  test.each(published)('of %j is the published one', (schema, canonical, fingerprint) => {
    expect(canonicalForm(schema)).toBe(canonical)
    expect(BigInt.asIntN(64, crc64Avro(Buffer.from(canonical)))).toBe(fingerprint)
  })

  test('of the empty union, which avsc does not parse, is the published one too', () => {
    expect(BigInt.asIntN(64, crc64Avro(Buffer.from('[]')))).toBe(-1241056759729112623n)
  })
})

describe('the schemas', () => {
  test('keep the fingerprint they are registered with: an edit needs a new version beside the old one', () => {
    for (const versions of Object.values(registry)) {
      for (const { schema, fingerprint } of versions)
        expect([schema, fingerprintOf(readSchema(schema))]).toEqual([schema, fingerprint])
    }
  })

  test('are all registered, each version once, ascending, no two with one fingerprint', () => {
    const versions = Object.values(registry).flat()
    expect(versions.map(({ schema }) => schema).toSorted()).toEqual(files.toSorted())
    expect(new Set(versions.map(({ fingerprint }) => fingerprint)).size).toBe(versions.length)
    for (const kind of Object.values(registry)) {
      expect(kind.map(({ version }) => version)).toEqual(kind.map((_, index) => index + 1))
    }
  })

  test('define a named type that several of them use alike in each', () => {
    const seen = new Map<string, string>()
    const visit = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return
      const { name, fields, symbols, size } = node as Record<string, unknown>
      if (typeof name === 'string' && (fields ?? symbols ?? size) !== undefined) {
        const text = canonicalShallow(node)
        expect([name, seen.get(name) ?? text]).toEqual([name, text])
        seen.set(name, text)
      }
      Object.values(node).forEach(visit)
    }
    for (const file of files) visit(readSchema(file))
    expect(seen.size).toBeGreaterThan(20)
  })

  test('put the payload last', () => {
    for (const file of ['write-group.avsc', 'update-set.avsc']) {
      const { fields } = JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')) as {
        fields: { name: string }[]
      }
      expect(fields.at(-1)?.name).toBe('payload')
    }
  })
})

/** A named type with the names, not the definitions, of the types inside it. */
function canonicalShallow(node: unknown): string {
  return JSON.stringify(node, (key, value: unknown) => {
    if (key === '' || typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const { name, fields, symbols, size } = value as Record<string, unknown>
    return (fields ?? symbols ?? size) === undefined ? value : name
  })
}
