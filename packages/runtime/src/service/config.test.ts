import { describe, expect, test } from 'vitest'
import { parseConfig } from './config.ts'
import { ConfigFault, HelpRequested } from './config-fault.ts'
import { defineRules } from './config-rules.ts'
import { describeOptions } from './describe-options.ts'
import { defineOptions } from './option-table.ts'

const options = defineOptions({
  site: { kind: 'string', pattern: /^[a-z-]+$/, expected: 'a site name', doc: 'The site.' },
  spoolBytesMax: { kind: 'integer', unit: 'bytes', min: 1024, max: 2 ** 40, default: 4096, doc: 'Spool.' },
  windowMs: { kind: 'integer', unit: 'ms', min: 1, max: 1000, default: 20, doc: 'Window.' },
  folding: { kind: 'enum', values: ['window', 'every-write'], default: 'window', doc: 'Folding.' },
  compress: { kind: 'boolean', default: true, doc: 'Whether to compress.' },
  brokers: { kind: 'list', default: ['a:1'], itemsMin: 1, doc: 'Brokers.' },
  disks: { kind: 'list', separator: ';', default: [], doc: 'Disks.' },
  httpListen: { kind: 'address', default: '127.0.0.1:0', doc: 'HTTP.' },
  nbdListen: { kind: 'address', default: null, doc: 'NBD.' },
})

const rules = defineRules(options, [
  {
    keys: ['windowMs', 'spoolBytesMax'],
    expected: 'ten bytes of spool for each ms',
    broken: ({ spoolBytesMax, windowMs }) => windowMs * 10 > spoolBytesMax,
  },
  {
    keys: ['disks'],
    expected: 'each disk once',
    broken: ({ disks }) =>
      disks
        .filter((disk, at) => disks.indexOf(disk) !== at)
        .map((value) => ({ value, expected: 'each disk once' })),
  },
  { keys: ['nbdListen'], expected: 'another port', broken: ({ nbdListen }) => nbdListen?.port === 1 },
])

function parse(source: {
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly file?: string
  readonly files?: Readonly<Record<string, string>>
}) {
  return parseConfig({
    service: 'test',
    options,
    rules,
    argv: source.argv ?? [],
    env: source.env ?? {},
    readFile: (path) => {
      const content = source.files?.[path] ?? source.file
      if (content === undefined) throw new Error(`ENOENT ${path}`)
      return content
    },
  })
}

function faultsOf(source: Parameters<typeof parse>[0]) {
  try {
    parse(source)
  } catch (error) {
    if (error instanceof ConfigFault) return error.faults
    throw error
  }
  return []
}

describe('configuration', () => {
  test('is typed, with defaults for what is left out', () => {
    const config = parse({ argv: ['--site', 'site-a'] })
    expect(config).toEqual({
      site: 'site-a',
      spoolBytesMax: 4096,
      windowMs: 20,
      folding: 'window',
      compress: true,
      brokers: ['a:1'],
      disks: [],
      httpListen: { host: '127.0.0.1', port: 0 },
      nbdListen: null,
    })
    const folding: 'window' | 'every-write' = config.folding
    expect(folding).toBe('window')
  })

  test('takes the flag over the environment, that over the file, that over the default (C1)', () => {
    const file = 'windowMs: 3\nsite: from-file\nspoolBytesMax: 2048\ncompress: false'
    const env = { BLOCKFERRY_WINDOW_MS: '2', BLOCKFERRY_SITE: 'from-env', BLOCKFERRY_CONFIG: 'x.yaml' }
    const config = parse({ argv: ['--window-ms=1'], env, file })
    expect(config).toMatchObject({ windowMs: 1, site: 'from-env', spoolBytesMax: 2048, compress: false })
  })

  test('reads lists from flags, environment and YAML, and sizes with their unit', () => {
    const argv = ['--site', 's', '--disks', 'id=a,size=1G', '--disks', 'id=b', '--spool-bytes-max', '2MiB']
    const env = { BLOCKFERRY_BROKERS: 'k:1, k:2' }
    expect(parse({ argv, env })).toMatchObject({
      disks: ['id=a,size=1G', 'id=b'],
      brokers: ['k:1', 'k:2'],
      spoolBytesMax: 2 * 1024 * 1024,
    })
    const file = 'disks:\n  - id=a,size=1G\n  - id=b'
    const fromFile = parse({ argv: ['--site', 's', '--config', 'f'], file })
    expect(fromFile.disks).toEqual(['id=a,size=1G', 'id=b'])
  })

  test('reports every fault at once, with name, value, unit and what was expected (C2)', () => {
    const faults = faultsOf({
      argv: ['--window-ms', '0', '--folding', 'none', '--colour', '--no-compress=x'],
      env: { BLOCKFERRY_SPOOL_BYTES_MAX: '1x', BLOCKFERRY_TYPO: '1', PATH: '/bin' },
    })
    expect(faults.map(({ name }) => name).toSorted()).toEqual(
      [
        '--colour',
        '--folding',
        '--site (BLOCKFERRY_SITE)',
        '--window-ms',
        'BLOCKFERRY_SPOOL_BYTES_MAX',
        'BLOCKFERRY_TYPO',
      ].toSorted(),
    )
    const window = faults.find(({ name }) => name === '--window-ms')
    expect(window).toEqual({
      name: '--window-ms',
      value: '0',
      unit: 'ms',
      expected: 'an integer from 1 to 1000',
    })
  })

  test.each([
    ['an unknown key in the file', { argv: ['--site', 's', '--config', 'f'], file: 'colour: red' }],
    ['a file that is not a map', { argv: ['--site', 's', '--config', 'f'], file: '- a' }],
    ['a file that is not there', { argv: ['--site', 's', '--config', 'f'] }],
    ['a file that is not YAML', { argv: ['--site', 's', '--config', 'f'], file: 'a: [' }],
    ['a flag without its value', { argv: ['--site', 's', '--window-ms'] }],
    ['a flag given twice', { argv: ['--site', 's', '--site', 't'] }],
    ['a stray word', { argv: ['--site', 's', 'extra'] }],
    ['a port beyond 65535', { argv: ['--site', 's', '--http-listen', 'h:70000'] }],
    ['a number with a fraction', { argv: ['--site', 's', '--window-ms', '1.5'] }],
    ['a list with too few items', { argv: ['--site', 's', '--brokers', ''] }],
    ['a text that is not as expected', { argv: ['--site', 'Site A'] }],
  ])('refuses %s', (_what, source) => {
    expect(faultsOf(source)).toHaveLength(1)
  })

  test('leaves alone the variables meant for no service in particular (C3)', () => {
    const env = { BLOCKFERRY_APPLIER_URL: 'http://x', BLOCKFERRY_EXIT_WITH_STDIN: '1' }
    expect(faultsOf({ argv: ['--site', 's'], env })).toEqual([])
  })

  test('takes an empty variable for one that is not there (C1)', () => {
    const env = { BLOCKFERRY_WINDOW_MS: '', BLOCKFERRY_DISKS_FILE: '', BLOCKFERRY_SITE: 's' }
    expect(parse({ env })).toMatchObject({ windowMs: 20, disks: [] })
  })

  test('reads any setting from the file that its variable …_FILE names, without the last newline', () => {
    const env = { BLOCKFERRY_SITE_FILE: '/run/secrets/site', BLOCKFERRY_DISKS_FILE: '/run/disks' }
    const files = { '/run/secrets/site': 'site-a\n', '/run/disks': 'id=a;id=b\r\n' }
    expect(parse({ env, files })).toMatchObject({ site: 'site-a', disks: ['id=a', 'id=b'] })
  })

  test('takes a flag over the file that a variable names, and that over the YAML file (C1)', () => {
    const env = { BLOCKFERRY_WINDOW_MS_FILE: '/w', BLOCKFERRY_SITE_FILE: '/s', BLOCKFERRY_CONFIG: 'x.yaml' }
    const files = { '/w': '7', '/s': 's', 'x.yaml': 'windowMs: 3' }
    expect(parse({ env, files })).toMatchObject({ windowMs: 7 })
    expect(parse({ argv: ['--window-ms=1'], env, files })).toMatchObject({ windowMs: 1 })
  })

  test('lists a file that is missing, a setting given both ways, and a bad content that it does not print', () => {
    const env = {
      BLOCKFERRY_SITE_FILE: '/missing',
      BLOCKFERRY_WINDOW_MS: '5',
      BLOCKFERRY_WINDOW_MS_FILE: '/w',
      BLOCKFERRY_SPOOL_BYTES_MAX_FILE: '/secret',
      BLOCKFERRY_TYPO_FILE: '/w',
    }
    const faults = faultsOf({ env, files: { '/w': '5', '/secret': 'hunter2' } })
    expect(faults.map(({ name }) => name).toSorted()).toEqual([
      'BLOCKFERRY_SITE_FILE',
      'BLOCKFERRY_SPOOL_BYTES_MAX_FILE',
      'BLOCKFERRY_TYPO_FILE',
      'BLOCKFERRY_WINDOW_MS_FILE',
    ])
    expect(faults.find(({ name }) => name === 'BLOCKFERRY_SITE_FILE')?.expected).toContain('ENOENT /missing')
    const both = faults.find(({ name }) => name === 'BLOCKFERRY_WINDOW_MS_FILE')
    expect(both?.expected).toContain('either BLOCKFERRY_WINDOW_MS or BLOCKFERRY_WINDOW_MS_FILE')
    expect(JSON.stringify(faults)).not.toContain('hunter2')
  })

  test('lists settings that contradict each other with everything else, by the names they were given (C2)', () => {
    const faults = faultsOf({
      argv: ['--window-ms', '900', '--folding', 'none', '--nbd-listen', 'h:1'],
      env: { BLOCKFERRY_SPOOL_BYTES_MAX: '1024', BLOCKFERRY_DISKS: 'id=a;id=b;id=a' },
    })
    expect(faults.map(({ name, value }) => [name, value])).toEqual([
      ['--site (BLOCKFERRY_SITE)', null],
      ['--folding', 'none'],
      ['--window-ms with BLOCKFERRY_SPOOL_BYTES_MAX', '900 with 1024'],
      ['BLOCKFERRY_DISKS', 'id=a'],
      ['--nbd-listen', 'h:1'],
    ])
  })

  test('names a default that contradicts, and leaves out a rule whose setting is wrong by itself', () => {
    const argv = ['--site', 's', '--window-ms', '900']
    expect(faultsOf({ argv })).toMatchObject([
      { name: '--window-ms with --spool-bytes-max (BLOCKFERRY_SPOOL_BYTES_MAX)', value: '900 with 4096' },
    ])
    const faults = faultsOf({ argv, env: { BLOCKFERRY_SPOOL_BYTES_MAX: '1' } })
    expect(faults.map(({ name }) => name)).toEqual(['BLOCKFERRY_SPOOL_BYTES_MAX'])
  })

  test('does not print what a file holds when it contradicts', () => {
    const env = { BLOCKFERRY_SITE: 's', BLOCKFERRY_DISKS_FILE: '/disks' }
    const faults = faultsOf({ env, files: { '/disks': 'hunter2;hunter2' } })
    expect(faults).toMatchObject([{ name: 'BLOCKFERRY_DISKS_FILE', value: 'the content of /disks' }])
  })

  test('answers --help with every setting', () => {
    let text = ''
    try {
      parse({ argv: ['--help'] })
    } catch (error) {
      if (error instanceof HelpRequested) text = error.text
    }
    for (const { flag, environment } of describeOptions(options)) {
      expect(text).toContain(flag)
      expect(text).toContain(environment)
    }
  })
})
