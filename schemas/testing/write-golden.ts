import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import * as fc from 'fast-check'
import registry from '../fingerprints.json' with { type: 'json' }
import type { AnyRecord } from '../src/decode.ts'
import { encodeAny } from './encode-any.ts'
import { goldenJson } from './golden-json.ts'
import { arbitraries } from './record-arbitraries.ts'

/*
 * Writes golden files for versions that have none: `node schemas/testing/write-golden.ts`. An existing
 * file is never touched: it stands for messages that are in somebody's topic.
 */

const samplesPerVersion = 4

mkdirSync(new URL('../golden/', import.meta.url), { recursive: true })
for (const kind of Object.keys(arbitraries) as AnyRecord['kind'][]) {
  const version = registry[kind].length
  const samples = fc.sample(arbitraries[kind], { numRuns: samplesPerVersion, seed: version })
  samples.forEach((any, index) => {
    const name = new URL(`../golden/${kind}.v${version}.${index}`, import.meta.url).href
    if (existsSync(new URL(`${name}.bin`))) return
    writeFileSync(new URL(`${name}.bin`), encodeAny(any))
    writeFileSync(new URL(`${name}.json`), `${goldenJson(any)}\n`)
  })
}
