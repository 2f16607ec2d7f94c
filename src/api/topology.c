/* What this process may use. */
#include "topo/topo.h"

#include <crew/topology.h>

int crew_cpu_count(void) {
    return cw_cpu_count(NULL);
}
