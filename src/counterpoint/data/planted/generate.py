"""Write a planted data set of any kind as a data-set folder with its truth."""

from pathlib import Path

from counterpoint.data.planted.aminer import AminerConfig, write_aminer
from counterpoint.data.planted.config import PlantedConfig
from counterpoint.data.planted.criteo import CriteoConfig, write_criteo
from counterpoint.data.planted.logistic import LogisticConfig, write_logistic
from counterpoint.data.planted.market.config import MarketConfig
from counterpoint.data.planted.market.generate import write_market


def generate(config: PlantedConfig, target_folder: Path) -> None:
    """Write the data set of ``config`` into the existing, empty ``target_folder``.

    The same dials give the same bytes, on the same machine and with the same libraries. Call it
    inside :func:`counterpoint.files.new_folder`.

    Raises:
        UserError: of a market, the busiest user would see more than half of the items.
    """
    match config:
        case MarketConfig():
            write_market(config, target_folder)
        case LogisticConfig():
            write_logistic(config, target_folder)
        case AminerConfig():
            write_aminer(config, target_folder)
        case CriteoConfig():
            write_criteo(config, target_folder)
