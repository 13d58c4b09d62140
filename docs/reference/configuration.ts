import { globSync } from 'node:fs'
import { join } from 'node:path'
import { type ConfigRule, describeOptions, type OptionTable } from '@blockferry/runtime/service'

interface ConfigModule {
  readonly options: OptionTable
  readonly rules: readonly ConfigRule<OptionTable>[]
}

/** docs/configuration.md, made from the `options` and `rules` of every config.ts. */
export async function renderConfigurationReference(root: string): Promise<string> {
  const sections: string[] = []
  for (const path of globSync('{services/*/src,cli/src/wan}/config.ts', { cwd: root }).toSorted()) {
    const { options, rules } = (await import(join(root, path))) as ConfigModule
    const rows = describeOptions(options).map((row) => {
      const value = row.default === null ? '*required*' : row.default === '' ? '*none*' : `\`${row.default}\``
      const unit = row.unit === '' ? '' : ` ${row.unit}`
      return `| \`${row.key}\` | \`${row.environment}\` | ${cell(row.expected)}${unit} | ${value} | ${cell(row.doc)} |`
    })
    const service = path.startsWith('cli/') ? 'wan' : (path.split('/')[1] ?? path)
    const table = `| key | environment | expected | default | meaning |\n|---|---|---|---|---|\n${rows.join('\n')}\n`
    sections.push(`## ${service}\n\n${table}\nTogether:\n\n${rules.map(ruleLine).join('\n')}\n`)
  }
  return `${head}\n${sections.join('\n')}`
}

function ruleLine({ expected, keys }: ConfigRule<OptionTable>): string {
  return `- ${keys.map((key) => `\`${key}\``).join(', ')}: ${expected}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

const head = `# Configuration

Each service takes an option by flag (\`--kebab-case\`), environment (\`BLOCKFERRY_…\`), YAML file (\`--config FILE\`, camelCase keys),
else its default: in this order. An unknown key is a fault. All faults, settings that contradict each other among them, are
reported at once, with name, value, unit and expected range, and the process ends with status 78. An empty variable counts as
not set. Made from the code by \`npm run docs\`; a test keeps it true.

Every variable may be given as \`BLOCKFERRY_…_FILE\` instead: the path of a file that holds the value, as container platforms hand
over secrets. One newline at its end is dropped, and its content is never printed. Both at once is a fault.
`
