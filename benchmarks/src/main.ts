import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { kafkaClientNames } from '@blockferry/replication-log'
import { BenchLab, imageFill } from './bench-lab.ts'
import { renderReport, verdictOf, type Report } from './figure.ts'
import { describeMachine } from './machine.ts'
import { missingTool } from './peers/peer.ts'
import { measureClients } from './scenarios/clients.ts'
import { measureContainers } from './scenarios/containers.ts'
import { measureDelayAndMemory } from './scenarios/delay-and-memory.ts'
import { measureGuestPath } from './scenarios/guest-path.ts'
import { measureThroughput } from './scenarios/throughput.ts'

/** `npm run bench -- [--json FILE] [--seconds N] [--rounds N] [--only NAME] [--kafka-client NAME]`; method in benchmarks/README.md. */
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    'kafka-client': { type: 'string' },
  },
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
const client = kafkaClientNames.find((name) => name === values['kafka-client']) ?? kafkaClientNames[0]
if ((values['kafka-client'] ?? client) !== client) {
  process.stderr.write(`bench: --kafka-client is one of ${kafkaClientNames.join(', ')}\n`)
  process.exit(64)
}
const report: Report = {
  machine: describeMachine(),
  image: imageFill,
  kafkaClient: client,
  figures: [],
  skipped: [],
}

const inLab = {
  delay: (lab: BenchLab) => measureDelayAndMemory(lab, { report, seconds }),
  guest: (lab: BenchLab) => measureGuestPath(lab, { report, seconds: Math.min(seconds, 10), rounds }),
  throughput: (lab: BenchLab) => measureThroughput(lab, { report, seconds: Math.min(seconds, 10) }),
}
const wanted = (name: string) => values.only === undefined || values.only === name

const labScenarios = Object.entries(inLab).filter(([name]) => wanted(name))
const noFio = missingTool('fio')
if (labScenarios.length > 0 && noFio !== null) {
  process.stderr.write(`bench: ${noFio}; it makes the load of every scenario in the lab: install fio\n`)
  process.exit(1)
}
if (labScenarios.length > 0) {
  await using lab = await BenchLab.start(['--kafka-client', client])
  for (const [name, scenario] of labScenarios) {
    process.stderr.write(`bench: ${name}…\n`)
    await scenario(lab)
  }
}
if (wanted('clients')) {
  process.stderr.write('bench: clients…\n')
  await measureClients({ report, seconds: Math.min(seconds, 5), rounds })
}
if (wanted('containers')) {
  process.stderr.write('bench: containers…\n')
  await measureContainers({ report, seconds: Math.min(seconds, 10), rounds })
}
process.stdout.write(`${renderReport(report)}\n`)
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`)
process.exitCode = report.figures.some((figure) => verdictOf(figure) === 'FAILS') ? 1 : 0
