from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("participants", "0006_owed"),
    ]

    operations = [
        migrations.CreateModel(
            name="OwedBonus",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("payee", models.CharField(max_length=200)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=10)),
            ],
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="owed",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.RemoveField(model_name="tally", name="count"),
        migrations.AlterField(
            model_name="tally",
            name="what",
            field=models.CharField(db_index=True, max_length=64),
        ),
    ]
