import { parseConfig, runService } from '@blockferry/runtime/service'
import { startMirrorMaker } from './app.ts'
import { options, rules } from './config.ts'

await runService({
  service: 'mirror-maker',
  start: (context) => {
    const { argv, env } = context
    const config = parseConfig({ service: 'mirror-maker', options, rules, argv, env })
    return startMirrorMaker(config, context)
  },
})
