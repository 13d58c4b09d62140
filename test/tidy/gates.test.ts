import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { listFiles, repositoryRoot } from './source-files.ts'

/** Runs one of the development tools as a claim: no finding at all. */
function run(
  tool: string,
  args: readonly string[],
): { readonly status: number | null; readonly output: string } {
  const binary = join(repositoryRoot, 'node_modules', '.bin', tool)
  const done = spawnSync(binary, args, { cwd: repositoryRoot, encoding: 'utf8' })
  return { status: done.status, output: `${done.stdout}${done.stderr}` }
}

test('the types hold, strictly', { timeout: 180_000 }, () => {
  expect(run('tsc', ['--noEmit'])).toEqual({ status: 0, output: '' })
})

test(
  'the type-aware linter finds nothing: sizes, floating promises, inexhaustive switches',
  { timeout: 180_000 },
  () => {
    const lint = run('oxlint', ['--type-aware', '--deny-warnings'])
    expect(lint.status, lint.output).toBe(0)
  },
)

test('every file is formatted', { timeout: 180_000 }, () => {
  const format = run('oxfmt', ['--check', '.'])
  expect(format.status, format.output).toBe(0)
})

test('docs/errors.md and docs/configuration.md are what the code says', { timeout: 60_000 }, () => {
  const check = spawnSync(process.execPath, ['docs/generate.ts', '--check'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  })
  expect(check.status, check.stderr).toBe(0)
})

test('no file is a drawer: utils, helpers, common, manager', () => {
  const drawers = listFiles().filter((path) =>
    /(^|\/)(utils?|helpers?|common|manager)(\.[a-z]+|\/)/.test(path),
  )
  expect(drawers).toEqual([])
})

test('a barrel is a package’s index.ts and nothing else', () => {
  const barrels = listFiles().filter(
    (path) =>
      path.endsWith('/index.ts') &&
      !/^(packages\/[^/]+|schemas|services\/[^/]+|cli|benchmarks)\/src(\/service|\/testing)?\/index\.ts$/.test(
        path,
      ),
  )
  expect(barrels).toEqual([])
})
