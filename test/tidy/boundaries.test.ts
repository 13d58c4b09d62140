import { describe, expect, test } from 'vitest'
import { importsOf, readSources, type SourceFile } from './source-files.ts'

const sources = readSources()
const isTest = (file: SourceFile) => file.path.endsWith('.test.ts') || file.path.startsWith('test/')

/** `path: specifier` of each import that breaks a rule; an empty list is the claim. */
function violations(
  files: readonly SourceFile[],
  forbidden: (specifier: string, file: SourceFile) => boolean,
): readonly string[] {
  return files.flatMap((file) =>
    file.imports
      .filter((specifier) => forbidden(specifier, file))
      .map((specifier) => `${file.path}: ${specifier}`),
  )
}

describe('the borders between parts', () => {
  test('the import scanner sees static, type, re-exporting, bare and dynamic imports', () => {
    const text = `import a from 'a'\nimport type { B } from 'b'\nexport * from 'c'\nimport 'd'\nawait import('e')\nimport {\n  F,\n} from 'f'`
    expect([...importsOf(text)].toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })

  test('a service never imports another service', () => {
    const services = sources.filter((file) => file.path.startsWith('services/'))
    expect(services.length).toBeGreaterThan(0)
    const own = (file: SourceFile) => file.path.split('/')[1]
    const other = /^@blockferry\/(tap-agent|aggregator|applier|mirror-maker)$/
    const reaches = (specifier: string, file: SourceFile) =>
      (other.test(specifier) && !specifier.endsWith(`/${own(file)}`)) || specifier.includes('/services/')
    expect(violations(services, reaches)).toEqual([])
  })

  test('a package never imports a service, the CLI or a test', () => {
    const packages = sources.filter((file) => /^(packages|schemas)\//.test(file.path))
    const upward = /^@blockferry\/(tap-agent|aggregator|applier|mirror-maker|cli|test|benchmarks)\b/
    const reaches = (specifier: string, file: SourceFile) =>
      upward.test(specifier) || (/^(\.\.\/){2,}(services|cli|benchmarks)\//.test(specifier) && !isTest(file))
    expect(violations(packages, reaches)).toEqual([])
  })

  test('only the adapters, each in its folder of packages/replication-log, import a Kafka library', () => {
    const home = 'packages/replication-log/src/'
    const adapter = new RegExp(`^${home}(platformatic|kafkajs)/`)
    // Tests beside the port may play the library against what we decode ourselves.
    const others = sources.filter(
      ({ path }) => !adapter.test(path) && !(path.startsWith(home) && path.endsWith('.test.ts')),
    )
    expect(violations(others, (specifier) => /^(kafkajs|@platformatic\/kafka)/.test(specifier))).toEqual([])
  })

  test('every service hands its kafkaClient on to the log it connects', () => {
    const calls = sources
      .filter((file) => file.path.startsWith('services/') && !isTest(file))
      .flatMap(({ path, text }) => {
        return [...text.matchAll(/connectReplicationLog\(\{(.*?)\}\)/gs)].map(([call]) => ({ path, call }))
      })
    expect(new Set(calls.map(({ path }) => path.split('/')[1]))).toEqual(
      new Set(['tap-agent', 'aggregator', 'applier', 'mirror-maker']),
    )
    expect(calls.filter(({ call }) => !/\bkafkaClient\b/.test(call))).toEqual([])
  })

  test('only schemas/ knows Avro', () => {
    const others = sources.filter((file) => !file.path.startsWith('schemas/'))
    expect(violations(others, (specifier) => specifier === 'avsc')).toEqual([])
  })

  test('only packages/storage knows koffi', () => {
    const others = sources.filter((file) => !file.path.startsWith('packages/storage/'))
    expect(violations(others, (specifier) => specifier === 'koffi')).toEqual([])
  })
})

/** Folders whose code computes and nothing else: simulation runs them as they are. */
const pureFolders = [
  /^packages\/disk-stream\/src\//,
  /^packages\/runtime\/src\/[^/]+\.ts$/,
  /^packages\/nbd\/src\/protocol\//,
  /^schemas\/src\//,
]
const pureBuiltIns = new Set(['node:zlib', 'node:crypto', 'node:util', 'node:buffer', 'node:assert'])

/** Logic that must replay from a seed: no clock, timer or randomness but the ports'. */
const ambient =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|setTimeout|setInterval|setImmediate|randomUUID|randomBytes|hrtime)\b/
const edges =
  /\/(main|app|config|[a-z-]*worker[a-z-]*|[a-z-]*(http|feed|routes|server|page|process|lock)[a-z-]*)\.ts$|\/(http|edge)\//

describe('purity', () => {
  test('pure folders import no I/O', () => {
    const pure = sources.filter(
      (file) => pureFolders.some((folder) => folder.test(file.path)) && !isTest(file),
    )
    expect(pure.length).toBeGreaterThan(10)
    const doesInput = (specifier: string) =>
      (specifier.startsWith('node:') && !pureBuiltIns.has(specifier)) ||
      specifier === '@blockferry/runtime/service' ||
      /^(fastify|ws|pino|prom-client|kafkajs|@platformatic)/.test(specifier)
    const allowed = (file: SourceFile) =>
      /^schemas\/src\/(load|schema-files|registry)[a-z-]*\.ts$/.test(file.path)
    expect(
      violations(
        pure.filter((file) => !allowed(file)),
        doesInput,
      ),
    ).toEqual([])
  })

  test('stream logic takes time and chance from ports', () => {
    const logic = sources.filter(
      (file) =>
        (/^services\/[^/]+\/src\//.test(file.path) || pureFolders.some((folder) => folder.test(file.path))) &&
        !isTest(file) &&
        !edges.test(file.path),
    )
    const found = logic.flatMap((file) =>
      file.text
        .split('\n')
        .filter((line) => ambient.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line))
        .map((line) => `${file.path}: ${line.trim()}`),
    )
    expect(found).toEqual([])
  })
})
