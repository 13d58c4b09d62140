import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import registry from '../fingerprints.json' with { type: 'json' }
import { decodeRecord } from './decode.ts'
import { goldenJson } from '../testing/golden-json.ts'

const folder = new URL('../golden/', import.meta.url)
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => name.slice(0, -4))

describe('golden messages', () => {
  test.each(names)('%s, written by an older program, is read by this one', (name) => {
    const message = readFileSync(new URL(`${name}.bin`, folder))
    expect(`${goldenJson(decodeRecord(message))}\n`).toBe(
      readFileSync(new URL(`${name}.json`, folder), 'utf8'),
    )
  })

  test('exist for every version of every schema, and carry its fingerprint', () => {
    for (const [kind, versions] of Object.entries(registry)) {
      for (const { version, fingerprint } of versions) {
        const mine = names.filter((name) => name.startsWith(`${kind}.v${version}.`))
        expect(mine.length).toBeGreaterThan(0)
        for (const name of mine) {
          const start = readFileSync(new URL(`${name}.bin`, folder)).toString('hex', 0, 10)
          expect([name, start]).toEqual([name, `c301${fingerprint}`])
        }
      }
    }
  })
})
