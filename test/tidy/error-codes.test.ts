import { globSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorCatalogue } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { readSources, repositoryRoot } from './source-files.ts'

/** What runs at a user's: no tests, no benches. */
const product = readSources().filter(
  ({ path }) => /^(schemas|packages|services|cli)\//.test(path) && !/\.test\.ts$|\/testing\//.test(path),
)

async function catalogues(): Promise<
  readonly { readonly path: string; readonly catalogue: ErrorCatalogue }[]
> {
  const paths = globSync('{schemas,packages/*,services/*,cli}/src/**/error-catalogue.ts', {
    cwd: repositoryRoot,
  })
  return Promise.all(
    paths.map(async (path) => {
      const { catalogue } = (await import(join(repositoryRoot, path))) as { catalogue: ErrorCatalogue }
      return { path, catalogue }
    }),
  )
}

test('a code is named only through a catalogue, so that none is missing in docs/errors.md', async () => {
  const known = new Set((await catalogues()).flatMap(({ catalogue }) => Object.keys(catalogue)))
  const literals = product.flatMap(({ path, text }) =>
    [...text.matchAll(/new Fault\(\s*(['"`].*?['"`])/g)].map(([, code]) => `${path}: new Fault(${code})`),
  )
  expect(literals, 'use the fault() of the workspace’s catalogue').toEqual([])
  const ofSubclasses = product.flatMap(({ path, text }) =>
    /extends \w*Fault\b/.test(text)
      ? [...text.matchAll(/super\(\s*'([A-Z_]+)'/g)].map(([, code]) => ({ path, code: code ?? '' }))
      : [],
  )
  expect(ofSubclasses.length).toBeGreaterThan(0)
  expect(ofSubclasses.filter(({ code }) => !known.has(code))).toEqual([])
})

test('every code that docs/errors.md explains can really be met', async () => {
  const texts = product.filter(({ path }) => !path.endsWith('error-catalogue.ts')).map(({ text }) => text)
  const unused = (await catalogues()).flatMap(({ path, catalogue }) =>
    Object.keys(catalogue)
      .filter((code) => !texts.some((text) => new RegExp(`['.]${code}\\b`).test(text)))
      .map((code) => `${path}: ${code}`),
  )
  expect(unused).toEqual([])
})
